//! Collections in brackets. One on one line stays on one line; one over several becomes a collection of lines.

use super::gap::{Gap, without_blank_start};
use super::piece::PieceKind;
use super::read::Reader;
use super::syntax::{Collection, Content, Entry, Kind, Layout, Node};

impl<'t> Reader<'t> {
    /// A collection in brackets. The gap before it takes the comment behind the opening bracket.
    pub fn flow(&mut self, kind: Kind, before: &mut Gap<'t>) -> Option<Collection<'t>> {
        let start = self.at;
        self.at += 1;
        let opening = self.gap();
        let mut gap = Gap { beside: None, ..opening };
        let (mut entries, mut is_odd): (Vec<Entry>, bool) = (Vec::new(), false);
        while !self.closes() {
            let (blank, lead) = without_blank_start(gap.lines);
            let mut entry = self.flow_entry(kind, &mut is_odd)?;
            (entry.blank, entry.lead) = (blank && !entries.is_empty(), lead);
            gap = self.gap_with_comma(&mut is_odd);
            entry.end_with(gap.beside);
            entries.push(entry);
        }
        self.step();
        self.skip(if kind == Kind::Mapping { '}' } else { ']' }).then_some(())?;
        let end = self.at;
        let source = &self.text[start..end];
        let collection = |layout, entries, tail| Some(Collection { kind, layout, entries, tail, end });
        self.is_fixed |= is_odd && source.contains('\n');
        if is_odd || (entries.is_empty() && source.contains('#')) {
            return collection(Layout::VerbatimFlow(source), Vec::new(), "");
        }
        if entries.is_empty() || !source.contains('\n') {
            return collection(Layout::Flow, entries, "");
        }
        let Some(head) = before.followed_by(opening, self.text) else {
            return collection(Layout::VerbatimFlow(source), Vec::new(), "");
        };
        *before = Gap { lines: "", ..head };
        entries[0].lead = without_blank_start(head.lines).1;
        entries.iter_mut().for_each(unfold_pair);
        collection(Layout::Lines, entries, gap.lines)
    }

    /// What stands after an entry, with a comma in it or not.
    fn gap_with_comma(&mut self, is_odd: &mut bool) -> Gap<'t> {
        let before = self.gap();
        if !self.skip(',') {
            return before;
        }
        let after = self.gap();
        before.followed_by(after, self.text).unwrap_or_else(|| {
            *is_odd = true;
            after
        })
    }

    fn flow_entry(&mut self, kind: Kind, is_odd: &mut bool) -> Option<Entry<'t>> {
        let start = self.at;
        if kind == Kind::Mapping {
            return self.flow_pair(is_odd);
        }
        if self.peek()?.kind != (PieceKind::Opens { kind: Kind::Mapping, in_brackets: false }) {
            return Some(Entry::of(start, None, self.node(Gap::default())?));
        }
        self.step();
        let entries = vec![self.flow_pair(is_odd)?];
        self.closes().then(|| self.step())?;
        let pair = Collection { kind: Kind::Mapping, layout: Layout::Pair, entries, tail: "", end: self.at };
        Some(Entry::of(start, None, Node::of(Content::Collection(pair))))
    }

    /// `key: value`, `key:` or `key`.
    fn flow_pair(&mut self, is_odd: &mut bool) -> Option<Entry<'t>> {
        let start = self.at;
        if self.is_explicit() {
            *is_odd = true;
            self.at += 1;
            self.gap();
        }
        let key = self.node(Gap::default())?;
        let key_end = self.at;
        let between = self.gap();
        let colon = self.skip(':');
        if !colon {
            self.at = key_end;
        }
        *is_odd |= !is_simple(&key) || (colon && between.ends_line);
        let mut entry = Entry::of(start, Some(key), self.value()?);
        entry.colon = colon;
        Some(entry)
    }
}

/// Whether a key can stand before a colon anywhere.
fn is_simple(key: &Node) -> bool {
    match key.content {
        Content::Nothing => true,
        Content::Text(text) => !text.contains('\n'),
        Content::Block(_) | Content::Collection(_) => false,
    }
}

/// `[key: value]` has no brackets of its own: in a line it is one entry, and the comment there is of its value.
fn unfold_pair(item: &mut Entry) {
    if let Content::Collection(pair) = &mut item.value.content
        && pair.layout == Layout::Pair
    {
        pair.layout = Layout::Lines;
        let comment = item.beside.take();
        pair.entries.iter_mut().for_each(|entry| entry.end_with(comment));
    }
}
