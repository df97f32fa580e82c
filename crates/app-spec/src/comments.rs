//! Comments and empty lines of a text, and where they belong in the spec that was read from it, so that a spec can be
//! written anew without losing what people noted in it.

use std::collections::{HashMap, HashSet};

use crate::diagnostic::Place;
use crate::tree::{Kind, Node};
use crate::wire::{Out, Places};

/// Fields before a comment that are looked at for one that is as far to the right.
const MOST_LOOKED_AT: usize = 200;

/// Comments by the paths that they belong to.
#[derive(Debug, Default)]
pub(crate) struct Comments {
    top: Vec<String>,
    before: HashMap<String, Vec<String>>,
    beside: HashMap<String, String>,
    after: HashMap<String, Vec<String>>,
    end: Vec<String>,
}

impl Comments {
    /// Finds the comments of `text` and gives each to a field of `out`: those at the top to the top, one in a line of its
    /// own to the next field, or to the one before where that is as far to the right, one behind a field to that field.
    pub fn of(text: &str, root: &Node, places: &Places, out: &Out) -> Comments {
        let mut written = Vec::new();
        collect(out, "", places, &mut written);
        // Outermost first where several begin at one place.
        written.sort_by_key(|field: &Written| (field.place.line, field.place.column));
        let mut comments = Comments::default();
        let first_line = root.place.map_or(0, |place| place.line);
        for remark in remarks(text, root) {
            match remark.line < first_line && remark.stands_alone {
                true => comments.top.push(remark.text),
                false => comments.put(remark, &written),
            }
        }
        comments
    }

    fn put(&mut self, remark: Remark, written: &[Written]) {
        let (before, after) = written.split_at(written.partition_point(|field| field.place.line <= remark.line));
        let in_line = before.last().filter(|field| field.place.line == remark.line && !remark.stands_alone);
        if let Some(field) = in_line {
            self.beside.insert(field.path.clone(), remark.text);
            return;
        }
        let next = after.first();
        let is_deeper = !remark.text.is_empty() && next.is_none_or(|field| remark.column > field.place.column);
        let mut nearby = before.iter().rev().take(MOST_LOOKED_AT);
        match (next, nearby.find(|field| is_deeper && field.column() == remark.column)) {
            (_, Some(field)) => self.after.entry(field.path.clone()).or_default().push(remark.text),
            (Some(field), None) => self.before.entry(field.path.clone()).or_default().push(remark.text),
            (None, None) => self.end.push(remark.text),
        }
    }

    /// Lines to write before everything.
    pub fn top(&self) -> impl Iterator<Item = &str> {
        self.top.iter().map(String::as_str)
    }

    /// Lines to write after a field and all that is in it.
    pub fn after<'c>(&'c self, path: &str) -> impl Iterator<Item = &'c str> + use<'c> {
        self.after.get(path).into_iter().flatten().map(String::as_str)
    }

    /// Lines to write before a field; an empty one is an empty line.
    pub fn before<'c>(&'c self, path: &str) -> impl Iterator<Item = &'c str> + use<'c> {
        self.before.get(path).into_iter().flatten().map(String::as_str)
    }

    /// What to write behind a field.
    pub fn beside(&self, path: &str) -> Option<&str> {
        self.beside.get(path).map(String::as_str)
    }

    /// Lines to write after everything.
    pub fn end(&self) -> impl Iterator<Item = &str> {
        let used = self.end.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        self.end[..used].iter().map(String::as_str)
    }
}

/// A field that is written, and where it begins in the text.
struct Written {
    place: Place,
    path: String,
}

impl Written {
    /// The column of its key, or of the dash before an item of a list.
    fn column(&self) -> u32 {
        if self.path.ends_with(']') { self.place.column.saturating_sub(2) } else { self.place.column }
    }
}

fn collect(out: &Out, path: &str, places: &Places, written: &mut Vec<Written>) {
    if let Some(place) = places.beginning(path) {
        written.push(Written { place, path: path.to_owned() });
    }
    match out {
        Out::Object(fields) => {
            let dot = if path.is_empty() { "" } else { "." };
            fields.iter().for_each(|(name, out)| collect(out, &format!("{path}{dot}{name}"), places, written));
        }
        Out::List(items) => {
            items.iter().enumerate().for_each(|(i, out)| collect(out, &format!("{path}[{i}]"), places, written));
        }
        Out::Text(_) | Out::Boolean(_) | Out::Integer(_) | Out::Number(_) => {}
    }
}

/// A comment, or an empty line.
struct Remark {
    line: u32,
    column: u32,
    text: String,
    stands_alone: bool,
}

fn remarks(text: &str, root: &Node) -> Vec<Remark> {
    let mut values = HashSet::new();
    scalars(root, &mut values);
    // Empty lines at the end of a block are nobody's.
    let written = |(start, end): (usize, usize)| (start, start + text[start..end].trim_end().len());
    let mut values: Vec<(usize, usize)> = values.into_iter().map(written).collect();
    values.sort_unstable();
    let is_value = |at: usize| {
        let next = values.partition_point(|(start, _)| *start <= at);
        next > 0 && at < values[next - 1].1
    };
    let (mut remarks, mut start, mut after_empty) = (Vec::new(), 0, false);
    for (line, content) in (1..).zip(text.split_inclusive('\n')) {
        let comment = content.char_indices().find(|(i, c)| {
            let begins_a_word = content[..*i].chars().next_back().is_none_or(char::is_whitespace);
            *c == '#' && begins_a_word && !is_value(start + i)
        });
        let before = comment.map_or(content, |(i, _)| &content[..i]);
        let stands_alone = before.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}').is_empty();
        let text = comment.map_or("", |(i, _)| content[i..].trim_end()).to_owned();
        let is_empty = comment.is_none() && stands_alone && !is_value(start);
        if comment.is_some() || (is_empty && !after_empty) {
            let indent = if stands_alone { before } else { &before[..before.len() - before.trim_start().len()] };
            let column = u32::try_from(indent.chars().count() + 1).unwrap_or(u32::MAX);
            remarks.push(Remark { line, column, text, stands_alone });
        }
        after_empty = is_empty;
        start += content.len();
    }
    remarks
}

/// The bytes of every text and key.
fn scalars(node: &Node, found: &mut HashSet<(usize, usize)>) {
    let mut add = |place: Option<Place>| found.extend(place.filter(|p| p.end > p.start).map(|p| (p.start, p.end)));
    match &node.kind {
        Kind::Scalar(_) => add(node.place),
        Kind::Sequence(items) => items.iter().for_each(|item| scalars(item, found)),
        Kind::Mapping(entries) => {
            entries.iter().for_each(|entry| add(entry.key_place));
            entries.iter().for_each(|entry| scalars(&entry.value, found));
        }
    }
}
