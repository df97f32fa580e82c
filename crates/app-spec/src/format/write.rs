//! Layout: two spaces, dashes below the key that they belong to, at most one empty line between entries.

use super::gap::is_blank;
use super::scalar::hanging;
use super::syntax::{BlockScalar, Collection, Comment, Content, Document, Entry, Kind, Layout, Node};
use crate::tree::MAX_BYTES;

pub(super) fn write(document: &Document) -> String {
    let mut writer = Writer { text: String::new(), is_kept: false };
    document.prologue.lines().for_each(|line| writer.line(0, line.trim_ascii_end()));
    writer.comments(document.header, 0);
    if !document.header.is_empty() {
        writer.empty_line();
    }
    if let Content::Collection(root) = &document.root.content {
        writer.entries(root, 0, false);
    }
    document.epilogue.lines().for_each(|line| writer.line(0, line.trim_ascii_end()));
    writer.text
}

struct Writer {
    text: String,
    /// The last line is of a scalar that would take an empty line for its own.
    is_kept: bool,
}

impl Writer {
    fn line(&mut self, indent: usize, line: &str) {
        self.indent(indent);
        self.text.push_str(line);
        self.end_line(None);
    }

    /// A text that has become too long will be refused, and needs none.
    fn indent(&mut self, indent: usize) {
        let indent = if self.text.len() > MAX_BYTES { 0 } else { indent };
        self.text.extend(std::iter::repeat_n(' ', indent));
    }

    fn end_line(&mut self, comment: Option<Comment>) {
        if let Some(Comment { spaces, text }) = comment {
            self.indent(spaces);
            self.text.push_str(text);
        }
        self.text.push('\n');
        self.is_kept = false;
    }

    /// Never at the top, never two.
    fn empty_line(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") && !self.is_kept {
            self.text.push('\n');
        }
    }

    /// Comments in lines of their own, with the empty lines between them.
    fn comments(&mut self, lines: &str, indent: usize) {
        for line in lines.lines() {
            match is_blank(line) {
                true => self.empty_line(),
                false => self.line(indent, line.trim_ascii()),
            }
        }
    }

    /// The entries of a collection of lines. The first may stand behind a dash, which then has its comments above it.
    fn entries(&mut self, collection: &Collection, indent: usize, behind_dash: bool) {
        if let Layout::VerbatimLines(source, column) = collection.layout {
            let lead = collection.entries.first().filter(|_| !behind_dash).map_or("", |entry| entry.lead);
            self.comments(lead, indent);
            return self.verbatim_lines(source, column, indent, behind_dash);
        }
        for (index, entry) in collection.entries.iter().enumerate() {
            if index > 0 || !behind_dash {
                if entry.blank {
                    self.empty_line();
                }
                self.comments(entry.lead, indent);
                self.comments_behind_dash(entry, collection.kind, indent);
                self.indent(indent);
            }
            self.entry(entry, collection.kind, indent);
            self.comments(entry.trail, indent);
        }
        self.comments(collection.tail.trim_ascii_end(), indent);
    }

    /// The comments of the first entry of an item: there is no room for them between the dash and the entry.
    fn comments_behind_dash(&mut self, item: &Entry, kind: Kind, indent: usize) {
        let mut next = (kind == Kind::Sequence).then_some(item);
        while let Some(Collection { kind, entries, .. }) = next.and_then(|item| behind_dash(&item.value)) {
            next = entries.first();
            if let Some(first) = next {
                self.comments(first.lead, indent);
            }
            next = next.filter(|_| *kind == Kind::Sequence);
        }
    }

    fn entry(&mut self, entry: &Entry, kind: Kind, indent: usize) {
        if let Some(key) = &entry.key {
            self.key(key);
        }
        self.text.push(if kind == Kind::Sequence { '-' } else { ':' });
        let value = &entry.value;
        if let (Kind::Sequence, Some(collection)) = (kind, behind_dash(value)) {
            self.text.push(' ');
            return self.entries(collection, indent + 2, true);
        }
        for property in &value.properties {
            self.text.push(' ');
            self.text.push_str(property);
        }
        let below = match (&value.content, kind) {
            (Content::Collection(Collection { kind: Kind::Sequence, layout: Layout::Lines, .. }), Kind::Mapping) => {
                indent
            }
            _ => indent + 2,
        };
        match (&value.content, &value.line_break) {
            (Content::Nothing, _) => self.end_line(entry.beside),
            (Content::Collection(collection), _) if is_of_lines(collection) => {
                self.end_line(value.head_comment());
                self.entries(collection, below, false);
            }
            (_, Some(line_break)) => {
                self.end_line(line_break.beside);
                self.comments(line_break.lead, below);
                self.indent(below);
                self.inline(entry, indent);
            }
            (_, None) => {
                self.text.push(' ');
                self.inline(entry, indent);
            }
        }
    }

    /// A key without its colon. Behind an alias or a tag a colon needs a blank.
    fn key(&mut self, key: &Node) {
        for property in &key.properties {
            self.text.push_str(property);
            self.text.push(' ');
        }
        match &key.content {
            Content::Text(text) => {
                self.text.push_str(text);
                self.text.push_str(if text.starts_with('*') { " " } else { "" });
            }
            Content::Collection(collection) => self.flow(collection),
            Content::Nothing | Content::Block(_) => {}
        }
    }

    /// A scalar, an alias or a collection in brackets, with the end of its line.
    fn inline(&mut self, entry: &Entry, indent: usize) {
        match &entry.value.content {
            Content::Text(text) => self.hanging(text, indent + 2),
            Content::Block(scalar) => return self.block(scalar, indent),
            Content::Collection(Collection { layout: Layout::VerbatimFlow(source), .. }) => {
                self.hanging(source, indent + 2);
            }
            Content::Collection(collection) => self.flow(collection),
            Content::Nothing => {}
        }
        self.end_line(entry.beside);
    }

    fn hanging(&mut self, text: &str, indent: usize) {
        for (index, (spaces, line)) in hanging(text, indent).enumerate() {
            self.text.push_str(if index > 0 { "\n" } else { "" });
            self.indent(spaces);
            self.text.push_str(line);
        }
    }

    fn block(&mut self, scalar: &BlockScalar, indent: usize) {
        self.text.push_str(&scalar.header());
        self.end_line(scalar.beside);
        let indent = indent + scalar.indicated().unwrap_or(2);
        for line in scalar.content() {
            self.indent(if line.is_empty() { 0 } else { indent });
            self.text.push_str(line);
            self.text.push('\n');
        }
        self.is_kept = scalar.keeps_empty_lines();
    }

    fn flow(&mut self, collection: &Collection) {
        if let Layout::VerbatimFlow(source) = collection.layout {
            return self.text.push_str(source);
        }
        let (open, close) = match (collection.layout, collection.kind) {
            (Layout::Pair, _) => ("", ""),
            (_, Kind::Mapping) => ("{", "}"),
            (_, Kind::Sequence) => ("[", "]"),
        };
        self.text.push_str(open);
        for (index, entry) in collection.entries.iter().enumerate() {
            self.text.push_str(if index > 0 { ", " } else { "" });
            self.flow_entry(entry);
        }
        self.text.push_str(close);
    }

    fn flow_entry(&mut self, entry: &Entry) {
        if let Some(key) = &entry.key {
            self.key(key);
            self.text.push_str(if entry.colon { ": " } else { "" });
        }
        for property in &entry.value.properties {
            self.text.push_str(property);
            self.text.push(' ');
        }
        match &entry.value.content {
            Content::Text(text) => self.text.push_str(text),
            Content::Collection(collection) => self.flow(collection),
            Content::Nothing | Content::Block(_) => {}
        }
    }

    /// Lines that are kept but for their indentation.
    fn verbatim_lines(&mut self, source: &str, column: usize, indent: usize, behind_dash: bool) {
        for (index, line) in source.lines().enumerate() {
            let spaces = line.len() - line.trim_start_matches(' ').len();
            let spaces = match index {
                0 if behind_dash => 0,
                0 => indent,
                _ if line.is_empty() => 0,
                _ => (spaces + indent).saturating_sub(column),
            };
            self.line(spaces, line.trim_start_matches(' '));
        }
        self.is_kept = source.ends_with("\n\n");
    }
}

/// The collection of lines that may begin on the line of the dash that it stands behind.
fn behind_dash<'n, 't>(value: &'n Node<'t>) -> Option<&'n Collection<'t>> {
    match &value.content {
        Content::Collection(collection) if value.properties.is_empty() && value.head_comment().is_none() => {
            is_of_lines(collection).then_some(collection)
        }
        _ => None,
    }
}

fn is_of_lines(collection: &Collection) -> bool {
    matches!(collection.layout, Layout::Lines | Layout::VerbatimLines(..))
}
