//! A bound on how far the parser looks ahead.
//!
//! In brackets inside brackets the parser reads on to their end before it returns an event, and keeps some 300 bytes for each
//! bracket, comma and colon on the way. Without a bound, a text of 256 KiB could take 50 MiB.

use std::cell::Cell;
use std::rc::Rc;

use super::limits::MARKS;
use super::places::quoted_length;

/// Shared by what feeds the parser and what takes its events.
#[derive(Clone, Default)]
pub(super) struct Lookahead {
    /// Marks that were fed since the last event.
    marks: Rc<Cell<usize>>,
    /// Characters up to here are the text of one scalar, whatever they look like.
    scalar_until: Rc<Cell<usize>>,
}

impl Lookahead {
    /// The characters of a text. They end where the bound is reached.
    pub fn chars<'t>(&self, text: &'t str) -> impl Iterator<Item = char> + use<'t> {
        let bound = self.clone();
        text.chars()
            .enumerate()
            .take_while(move |(at, c)| {
                if *at >= bound.scalar_until.get()
                    && matches!(c, '[' | ']' | '{' | '}' | ',' | ':' | '?' | '!' | '&' | '*')
                {
                    bound.marks.set(bound.marks.get() + 1);
                }
                !bound.is_reached()
            })
            .map(|(_, c)| c)
    }

    pub fn is_reached(&self) -> bool {
        self.marks.get() > MARKS
    }

    /// Called after each event. `read`: the characters up to its end; `rest`: the text behind it; `in_brackets`: whether it
    /// stands in brackets, where the text of a block cannot begin.
    pub fn after_event(&self, read: usize, rest: &str, in_brackets: bool) {
        self.marks.set(0);
        let value = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '-' | '?'));
        let length = match value.chars().next() {
            Some('|' | '>') if !in_brackets => Some(value.len()),
            Some(quote @ ('"' | '\'')) if !in_brackets => quoted_length(value, quote),
            _ => None,
        };
        let until = length.map_or(0, |length| read + rest[..rest.len() - value.len() + length].chars().count());
        self.scalar_until.set(until);
    }
}
