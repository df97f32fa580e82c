//! Writing YAML that every reader understands alike.
//!
//! Text that any reader of YAML 1.1 or 1.2 could take for something else is quoted, text of several lines becomes a
//! block. What is written here is read back equal by this crate and by other parsers.

use crate::tree::is_ambiguous;
use crate::wire::Out;

/// Writes an object as a YAML document.
pub(crate) fn write(out: &Out) -> String {
    let mut emitter = Emitter { text: String::new() };
    match out {
        Out::Object(fields) if fields.is_empty() => emitter.text.push_str("{}\n"),
        Out::Object(fields) => emitter.object(fields, 0, false),
        Out::List(_) | Out::Text(_) | Out::Boolean(_) | Out::Integer(_) | Out::Number(_) => emitter.value(out, 0),
    }
    emitter.text
}

struct Emitter {
    text: String,
}

impl Emitter {
    /// Writes the fields, the name first: it is what people look for.
    fn object(&mut self, fields: &[(&'static str, Out)], indent: usize, first_is_indented: bool) {
        let (named, others): (Vec<_>, Vec<_>) = fields.iter().partition(|(name, _)| *name == "name");
        for (i, (name, out)) in named.into_iter().chain(others).enumerate() {
            if i > 0 || !first_is_indented {
                self.pad(indent);
            }
            self.text.push_str(name);
            self.text.push(':');
            self.value(out, indent);
        }
    }

    /// Writes what follows `name:`, with the line's end.
    fn value(&mut self, out: &Out, indent: usize) {
        match out {
            Out::Object(fields) if fields.is_empty() => self.end_line(" {}"),
            Out::List(items) if items.is_empty() => self.end_line(" []"),
            Out::Object(fields) => {
                self.end_line("");
                self.object(fields, indent + 2, false);
            }
            Out::List(items) => {
                self.end_line("");
                items.iter().for_each(|item| self.list_item(item, indent));
            }
            Out::Text(string) if is_block(string) => self.block(string, indent + 2),
            Out::Text(_) | Out::Boolean(_) | Out::Integer(_) | Out::Number(_) => {
                self.end_line(&format!(" {}", scalar(out)));
            }
        }
    }

    fn list_item(&mut self, item: &Out, indent: usize) {
        self.pad(indent);
        self.text.push('-');
        match item {
            Out::Object(fields) if !fields.is_empty() => {
                self.text.push(' ');
                self.object(fields, indent + 2, true);
            }
            Out::Object(_) | Out::List(_) | Out::Text(_) | Out::Boolean(_) | Out::Integer(_) | Out::Number(_) => {
                self.value(item, indent + 2);
            }
        }
    }

    fn block(&mut self, string: &str, indent: usize) {
        self.end_line(if string.ends_with('\n') { " |" } else { " |-" });
        for line in string.strip_suffix('\n').unwrap_or(string).split('\n') {
            if !line.is_empty() {
                self.pad(indent);
            }
            self.text.push_str(line);
            self.text.push('\n');
        }
    }

    fn end_line(&mut self, value: &str) {
        self.text.push_str(value);
        self.text.push('\n');
    }

    fn pad(&mut self, indent: usize) {
        self.text.extend(std::iter::repeat_n(' ', indent));
    }
}

/// Text as it is written beside a key.
pub(crate) fn text(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Text as it is written between braces.
pub(crate) fn in_flow(text: &str) -> String {
    let is_safe = is_plain(text) && !text.contains([',', '{', '}', '[', ']']);
    if is_safe { text.to_owned() } else { quoted(text) }
}

fn scalar(out: &Out) -> String {
    match out {
        Out::Boolean(truth) => truth.to_string(),
        Out::Integer(integer) => integer.to_string(),
        Out::Number(number) => number.to_string(),
        Out::Text(string) => text(string),
        Out::Object(_) | Out::List(_) => String::new(),
    }
}

/// Whether text may stand without quotes: a careful subset of what YAML allows.
fn is_plain(text: &str) -> bool {
    let first_is_safe = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '$'));
    let safe = |c: char| c.is_alphanumeric() || " _-./:+=@,$(){}~^&;<>|*!?%'\"\\".contains(c);
    first_is_safe
        && text.chars().all(safe)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.starts_with("...")
        && !is_ambiguous(text)
}

/// Double quotes with escapes that JSON and YAML share.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if needs_escape(c) => out.push_str(&format!("\\u{:04X}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Control characters, and those that some readers take for a line's end or a byte order mark. All lie below U+10000.
fn needs_escape(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether text of several lines can be written as it is, under `|`.
fn is_block(text: &str) -> bool {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    lines.contains('\n')
        && !text.starts_with([' ', '\n'])
        && !lines.ends_with('\n')
        && text.chars().all(|c| c == '\n' || !needs_escape(c))
        && lines.split('\n').all(|line| !line.ends_with(' ') && !line.starts_with("---") && !line.starts_with("..."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_when_any_reader_could_take_it_for_something_else() {
        let cases = [
            ("web", "web"),
            ("npm run build && npm start", "npm run build && npm start"),
            ("${db.DATABASE_URL}", "${db.DATABASE_URL}"),
            ("postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
            ("", "\"\""),
            ("on", "\"on\""),
            ("No", "\"No\""),
            ("012", "\"012\""),
            ("1.10", "\"1.10\""),
            ("1:30", "\"1:30\""),
            ("2024-01-31", "\"2024-01-31\""),
            ("null", "\"null\""),
            ("a: b", "\"a: b\""),
            ("a #b", "\"a #b\""),
            ("*.example.com", "\"*.example.com\""),
            ("tab\there", "\"tab\\there\""),
            ("\u{feff}x\u{2028}", "\"\\uFEFFx\\u2028\""),
        ];
        for (text, wanted) in cases {
            assert_eq!(scalar(&Out::Text(text.to_owned())), wanted, "{text:?}");
        }
    }

    #[test]
    fn objects_lists_and_blocks_are_laid_out_as_people_write_them() {
        let step = Out::Object(vec![("key", Out::Text("A".into())), ("value", Out::Text("x\ny\n".into()))]);
        let empty = ("none", Out::Object(vec![]));
        let ports = ("ports", Out::List(vec![Out::Integer(1), Out::Integer(2)]));
        let out = Out::Object(vec![("envs", Out::List(vec![step])), empty, ports]);
        let wanted = "envs:\n- key: A\n  value: |\n    x\n    y\nnone: {}\nports:\n- 1\n- 2\n";
        assert_eq!(write(&out), wanted);
    }
}
