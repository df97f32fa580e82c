//! From a text to its syntax: the parser says how the pieces belong together, the text between them is looked at here.
//!
//! The text has passed the limits of a spec, which bound the depth of the calls.

use std::collections::{HashMap, HashSet};

use super::gap::{Gap, blanks, indentation, is_blank, without_blank_start};
use super::piece::{Piece, PieceKind, pieces};
use super::scalar::{block_scalar, line_start};
use super::syntax::{Collection, Content, Document, Entry, Kind, Layout, LineBreak, Links, Node};

/// Why there is no syntax.
#[derive(Debug, PartialEq)]
pub(super) enum NotRead {
    /// The document is not made of lines that begin entries, or something in it can only be kept as it is.
    NoBlock,
    /// A piece is not where the parser says.
    Unlike,
}

/// Reads a text that the parser takes, with `\n` at the end of every line. `is_ended`: the last line had one, too.
pub(super) fn read(text: &str, is_ended: bool) -> Result<Document<'_>, NotRead> {
    let (pieces, content_start) = pieces(text).ok_or(NotRead::Unlike)?;
    let line_end = text[content_start..].find('\n').map_or(text.len(), |end| content_start + end + 1);
    let gap = Gap::at(text, content_start);
    if pieces.first().is_none_or(|root| root.properties > 0 || !root.is_block_collection()) || !gap.ends_line {
        return Err(NotRead::NoBlock);
    }
    let prologue = if content_start == 0 { "" } else { &text[..line_end] };
    let (header, lead) = header(gap.lines);
    let mut reader = Reader { is_ended, ..Reader::new(text, pieces, gap.end) };
    let root = reader.node(Gap { lines: lead, ..Gap::default() });
    if reader.is_fixed {
        return Err(NotRead::NoBlock);
    }
    let root = root.ok_or(NotRead::Unlike)?;
    let epilogue = &text[reader.at..];
    let is_understood = reader.next == reader.pieces.len() && (epilogue.is_empty() || epilogue.starts_with("..."));
    let document = Document { prologue, header, root, epilogue, links: reader.links };
    if is_understood { Ok(document) } else { Err(NotRead::Unlike) }
}

/// Comments down to the last empty line, and those after it.
fn header(lines: &str) -> (&str, &str) {
    let last = lines.split_inclusive('\n').rev().take_while(|line| !is_blank(line)).map(str::len).sum::<usize>();
    lines.split_at(lines.len() - last)
}

pub(super) struct Reader<'t> {
    pub text: &'t str,
    pieces: Vec<Piece>,
    next: usize,
    /// Where the next piece begins.
    pub at: usize,
    /// Comments and empty lines that are read and belong to nothing yet, and where they begin.
    pending: &'t str,
    pending_start: usize,
    /// Collections of lines that are open.
    depth: usize,
    anchors: HashMap<usize, usize>,
    anchor_names: HashSet<&'t str>,
    links: Links,
    /// The last line has its end in the text as it came.
    is_ended: bool,
    /// The text ends in a block scalar, and without the last line's end.
    ends_in_scalar: bool,
    /// A key is a collection, which may go over several lines, or lines that are to be kept lack their end.
    pub is_fixed: bool,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str, pieces: Vec<Piece>, at: usize) -> Reader<'t> {
        Reader {
            text,
            pieces,
            next: 0,
            at,
            pending: "",
            pending_start: at,
            depth: 0,
            anchors: HashMap::new(),
            anchor_names: HashSet::new(),
            links: Links::default(),
            is_ended: true,
            ends_in_scalar: false,
            is_fixed: false,
        }
    }

    pub fn peek(&self) -> Option<&Piece> {
        self.pieces.get(self.next)
    }

    pub fn closes(&self) -> bool {
        self.peek().is_none_or(|piece| piece.kind == PieceKind::Closes)
    }

    /// Steps over the piece that opens or closes a collection.
    pub fn step(&mut self) {
        self.next += 1;
    }

    /// Goes over a gap.
    pub fn gap(&mut self) -> Gap<'t> {
        let gap = Gap::at(self.text, self.at);
        self.at = gap.end;
        gap
    }

    /// Goes over one of the characters that give a text its form, if it is there.
    pub fn skip(&mut self, c: char) -> bool {
        let is_there = self.text[self.at..].starts_with(c);
        self.at += if is_there { c.len_utf8() } else { 0 };
        is_there
    }

    /// Whether a `?` stands here that says that a key follows.
    pub fn is_explicit(&self) -> bool {
        let mut chars = self.text[self.at..].chars();
        chars.next() == Some('?') && chars.next().is_none_or(char::is_whitespace)
    }

    /// A value or key, after the gap before it.
    pub fn node(&mut self, mut before: Gap<'t>) -> Option<Node<'t>> {
        let index = self.next;
        let &Piece { kind, properties: count, anchor, .. } = self.peek()?;
        self.next += 1;
        let mut properties = Vec::with_capacity(count);
        while properties.len() < count {
            properties.push(self.property(anchor)?);
            if properties.len() < count || kind != PieceKind::Nothing {
                let after = self.gap();
                before = before.followed_by(after, self.text)?;
            }
        }
        let content = self.content(index, &mut before)?;
        let line_break = before.ends_line.then_some(LineBreak { beside: before.beside, lead: before.lines });
        Some(Node { properties, line_break, content })
    }

    /// The value that stands behind a colon or a dash.
    pub fn value(&mut self) -> Option<Node<'t>> {
        let gap = if self.peek()?.is_nothing() { Gap::default() } else { self.gap() };
        self.node(gap)
    }

    /// An anchor or a tag.
    fn property(&mut self, anchor: usize) -> Option<&'t str> {
        let rest = &self.text[self.at..];
        let length = match rest {
            _ if rest.starts_with("!<") => rest.find('>')? + 1,
            _ if rest.starts_with(['&', '!']) => rest.find([' ', '\t', '\n', ',', '[', ']', '{', '}'])?,
            _ => return None,
        };
        let property = &rest[..length];
        if property.starts_with('&') {
            self.anchors.insert(anchor, self.at);
            self.links.is_ambiguous |= !self.anchor_names.insert(property);
        }
        self.at += length;
        Some(property)
    }

    /// What a piece holds. A collection takes the comments in lines of their own before it.
    fn content(&mut self, index: usize, before: &mut Gap<'t>) -> Option<Content<'t>> {
        let Piece { kind, start, end, anchor, .. } = self.pieces[index];
        if kind == PieceKind::Alias {
            self.links.pairs.push((*self.anchors.get(&anchor)?, start));
        }
        match kind {
            PieceKind::Nothing => Some(Content::Nothing),
            PieceKind::Text | PieceKind::Alias => {
                (start == self.at).then(|| self.at = end)?;
                Some(Content::Text(&self.text[start..end]))
            }
            PieceKind::BlockScalar => {
                self.ends_in_scalar = !self.is_ended && end == self.text.len();
                let (scalar, next) = block_scalar(self.text, self.at, (start, end), !self.ends_in_scalar)?;
                self.at = next;
                scalar.header.starts_with(['|', '>']).then_some(Content::Block(scalar))
            }
            PieceKind::Opens { kind, in_brackets: true } => self.flow(kind, before).map(Content::Collection),
            PieceKind::Opens { kind, in_brackets: false } => {
                let lead = std::mem::take(&mut before.lines);
                self.lines(kind, lead).map(Content::Collection)
            }
            PieceKind::Closes => None,
        }
    }

    /// A collection whose entries begin lines.
    fn lines(&mut self, kind: Kind, lead: &'t str) -> Option<Collection<'t>> {
        let (start, mut is_explicit) = (self.at, false);
        let column = start - line_start(self.text, start);
        self.pending = lead;
        self.depth += 1;
        let mut entries: Vec<Entry> = Vec::new();
        while !self.closes() {
            let (blank, lead) = without_blank_start(std::mem::take(&mut self.pending));
            is_explicit |= kind == Kind::Mapping && self.is_explicit();
            let mut entry = self.entry(kind)?;
            entry.blank = blank && !entries.is_empty();
            entry.lead = lead;
            if !self.closes() && entry.trail.is_empty() {
                entry.trail = self.take_pending(clinging(self.pending));
            }
            entries.push(entry);
        }
        self.step();
        self.depth -= 1;
        self.is_fixed |= is_explicit && self.ends_in_scalar;
        let tail = self.take_pending(without_empty_end(self.pending, self.tail_of(column)));
        let (layout, tail) = match is_explicit {
            true => (Layout::VerbatimLines(&self.text[start..self.pending_start], column), ""),
            false => (Layout::Lines, tail),
        };
        Some(Collection { kind, layout, entries, tail, end: self.at })
    }

    /// An entry of a collection of lines, with the comment at its end.
    fn entry(&mut self, kind: Kind) -> Option<Entry<'t>> {
        let start = self.at;
        let (key, colon) = match kind {
            Kind::Mapping => self.key()?,
            Kind::Sequence => self.skip('-').then_some((None, true))?,
        };
        let ends_a_line = !self.peek()?.is_block_collection();
        let mut entry = Entry::of(start, key, self.value()?);
        entry.colon = colon;
        if ends_a_line {
            let gap = self.gap();
            (self.pending, self.pending_start) = (gap.lines, gap.lines_start);
            gap.ends_line.then_some(())?;
            entry.end_with(gap.beside);
        }
        Some(entry)
    }

    /// A key, and whether a colon follows.
    fn key(&mut self) -> Option<(Option<Node<'t>>, bool)> {
        let is_explicit = self.is_explicit();
        if is_explicit {
            self.at += 1;
        }
        let key = if is_explicit { self.value()? } else { self.node(Gap::default())? };
        self.is_fixed |= is_explicit && matches!(key.content, Content::Collection(_));
        let key_end = self.at;
        match is_explicit {
            true => _ = self.gap(),
            false => self.at += blanks(&self.text[self.at..]),
        }
        let colon = self.skip(':');
        if !colon {
            self.at = key_end;
        }
        (colon || is_explicit).then_some((Some(key), colon))
    }

    fn take_pending(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.pending.split_at(length);
        (self.pending, self.pending_start) = (rest, self.pending_start + length);
        taken
    }

    /// How much of what is pending stands after the last entry of a collection that begins in `column`, and not before
    /// what follows: what is as far to the right as the collection, and farther than what follows. At the end of the
    /// text, what is not indented belongs to the outermost collection.
    fn tail_of(&self, column: usize) -> usize {
        let ends_text = self.pieces[self.next..].iter().all(|piece| piece.kind == PieceKind::Closes);
        let next = if ends_text { 0 } else { self.at - line_start(self.text, self.at) };
        let is_outermost = ends_text && self.depth == 0;
        let is_tail = |line: &str| is_outermost || (indentation(line) >= column && indentation(line) > next);
        let Some(first) = self.pending.find('#') else { return 0 };
        if is_tail(&self.pending[line_start(self.pending, first)..]) {
            let is_tail = |line: &&str| is_blank(line) || is_tail(line);
            return self.pending.split_inclusive('\n').take_while(is_tail).map(str::len).sum();
        }
        let clings = !ends_text && indentation(self.pending) >= column;
        if clings { clinging(self.pending) } else { 0 }
    }
}

/// The length of the comments that begin right below an entry and that an empty line divides from the next one.
fn clinging(lines: &str) -> usize {
    let comments = lines.split_inclusive('\n').take_while(|line| !is_blank(line)).map(str::len).sum();
    if comments < lines.len() { comments } else { 0 }
}

/// The length of the first `length` bytes of `lines` without the empty lines at their end.
fn without_empty_end(lines: &str, length: usize) -> usize {
    let empty: usize =
        lines[..length].split_inclusive('\n').rev().take_while(|line| is_blank(line)).map(str::len).sum();
    length - empty
}
