//! JSON stays JSON: two spaces, an entry on a line, numbers and escapes as they are written.
//!
//! An object or a list that stands on one line stays there, unless the whole text does.

use super::order::order;
use crate::wire::Shape;

/// Formats a text that is known to be JSON and to nest within the limits of a spec. `None`: it is not.
pub(super) fn format(text: &str, shape: &Shape) -> Option<String> {
    let mut reader = Reader { text, at: 0, is_one_line: !text.trim().contains('\n') };
    let value = reader.value()?;
    if !reader.rest().is_empty() {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    write_root(&value, shape, &mut out);
    out.push('\n');
    Some(out)
}

struct Value<'t> {
    content: Content<'t>,
    is_on_one_line: bool,
}

enum Content<'t> {
    Scalar(&'t str),
    List(Vec<Value<'t>>),
    Object(Vec<Field<'t>>),
}

/// The key with its quotes, and the value.
type Field<'t> = (&'t str, Value<'t>);

struct Reader<'t> {
    text: &'t str,
    at: usize,
    /// The whole text is on one line.
    is_one_line: bool,
}

impl<'t> Reader<'t> {
    /// What is not read yet, without blanks before it.
    fn rest(&mut self) -> &'t str {
        let rest = self.text[self.at..].trim_ascii_start();
        self.at = self.text.len() - rest.len();
        rest
    }

    fn skip(&mut self, c: char) -> bool {
        let is_there = self.rest().starts_with(c);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self) -> Option<Value<'t>> {
        let start = self.text.len() - self.rest().len();
        let content = match self.rest().as_bytes().first()? {
            b'{' => Content::Object(self.entries('{', '}', Reader::field)?),
            b'[' => Content::List(self.entries('[', ']', Reader::value)?),
            _ => Content::Scalar(self.scalar()?),
        };
        let is_on_one_line = !self.is_one_line && !self.text[start..self.at].contains('\n');
        Some(Value { content, is_on_one_line })
    }

    fn entries<T>(&mut self, open: char, close: char, entry: fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut entries = Vec::new();
        self.skip(open);
        while !self.skip(close) {
            entries.push(entry(self)?);
            self.skip(',');
        }
        Some(entries)
    }

    fn field(&mut self) -> Option<Field<'t>> {
        let key = self.scalar()?;
        self.skip(':');
        Some((key, self.value()?))
    }

    fn scalar(&mut self) -> Option<&'t str> {
        let rest = self.rest();
        let length = match rest.starts_with('"') {
            true => string_length(rest)?,
            false => rest.find(|c: char| c.is_ascii_whitespace() || ",:]}".contains(c)).unwrap_or(rest.len()),
        };
        self.at += length;
        (length > 0).then_some(&rest[..length])
    }
}

/// How long the string is that a text begins with, quotes included.
fn string_length(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => _ = bytes.next(),
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn name<'t>((key, _): &Field<'t>) -> &'t str {
    key.trim_matches('"')
}

/// Writes the document: a spec, or an object with nothing but `spec` and `x-…`.
fn write_root(root: &Value, shape: &Shape, out: &mut String) {
    let Content::Object(fields) = &root.content else { return write(root, Some(shape), 0, out) };
    let mut others = fields.iter().map(name).filter(|name| !name.starts_with("x-"));
    match (others.next(), others.next()) {
        (Some("spec"), None) => {
            let of = |name: &str| (name == "spec").then_some(shape);
            enclosed(('{', '}'), fields, root.is_on_one_line, 0, out, |field, indent, out| {
                write_field(field, of(name(field)), indent, out);
            });
        }
        _ => write(root, Some(shape), 0, out),
    }
}

fn write(value: &Value, shape: Option<&Shape>, indent: usize, out: &mut String) {
    match &value.content {
        Content::Scalar(text) => out.push_str(text),
        Content::List(items) => {
            let shape = if let Some(Shape::List(item)) = shape { Some(&**item) } else { None };
            enclosed(('[', ']'), items, value.is_on_one_line, indent, out, |item, indent, out| {
                write(item, shape, indent, out);
            });
        }
        Content::Object(entries) => {
            let fields = if let Some(Shape::Object(fields)) = shape { *fields } else { &[] };
            let order = order(entries.iter().map(|entry| Some(name(entry))), fields);
            enclosed(('{', '}'), &order, value.is_on_one_line, indent, out, |index, indent, out| {
                let entry = &entries[*index];
                let shape = fields.iter().find(|field| field.name == name(entry)).map(|field| &field.shape);
                write_field(entry, shape, indent, out);
            });
        }
    }
}

fn write_field((key, value): &Field, shape: Option<&Shape>, indent: usize, out: &mut String) {
    out.push_str(key);
    out.push_str(": ");
    write(value, shape, indent, out);
}

/// Writes entries between brackets, on one line or on a line each.
fn enclosed<T>(
    (open, close): (char, char),
    entries: &[T],
    on_one_line: bool,
    indent: usize,
    out: &mut String,
    write_entry: impl Fn(&T, usize, &mut String),
) {
    let line = |indent: usize| format!("\n{}", " ".repeat(indent));
    let on_one_line = on_one_line || entries.is_empty();
    out.push(open);
    for (index, entry) in entries.iter().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        match on_one_line {
            true => out.push_str(if index > 0 { " " } else { "" }),
            false => out.push_str(&line(indent + 2)),
        }
        write_entry(entry, indent + 2, out);
    }
    if !on_one_line {
        out.push_str(&line(indent));
    }
    out.push(close);
}
