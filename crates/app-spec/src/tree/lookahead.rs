//! Limits how far the parser looks ahead.
//!
//! For brackets inside brackets, the parser reads to the closing bracket before it returns an event, and stores about
//! 300 bytes for each bracket, comma and colon on the way. Without a limit, a text of 256 KiB could use 50 MiB.

use std::cell::Cell;
use std::rc::Rc;

use super::limits::MARKS;
use super::places::quoted_length;

/// Shared by the iterator that feeds the parser and the code that takes its events.
#[derive(Clone, Default)]
pub(super) struct Lookahead {
    /// The marks that the parser read since the last event.
    marks: Rc<Cell<usize>>,
    /// All characters before this position belong to one scalar, so they are not marks.
    scalar_until: Rc<Cell<usize>>,
}

impl Lookahead {
    /// The characters of a text. The iterator ends when the limit is reached.
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

    /// Call this after each event. `read` is the number of characters up to the end of the event, and `rest` is the
    /// text after it. `in_brackets` says whether the event is inside brackets, where a block scalar cannot begin.
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
