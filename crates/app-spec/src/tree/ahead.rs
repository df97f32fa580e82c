//! How far the parser may look ahead. In brackets inside brackets it reads on to their end before it says anything, and
//! remembers every mark on the way, some 900 bytes for each: a text that has many is read with a bound on that.

use std::cell::Cell;
use std::rc::Rc;
use std::str::Chars;

use super::limits::MARKS;
use super::offsets::quoted_length;

/// Whether a text has so many marks that the parser could look too far ahead.
pub(super) fn is_dense(text: &str) -> bool {
    text.chars().filter(|c| is_mark(*c)).count() > MARKS
}

fn is_mark(c: char) -> bool {
    matches!(c, '[' | ']' | '{' | '}' | ',' | ':' | '?' | '!' | '&' | '*')
}

/// Between whoever takes the parser's events and what feeds the parser.
#[derive(Clone, Default)]
pub(super) struct Bound {
    /// Marks since the last event.
    marks: Rc<Cell<usize>>,
    /// Characters up to here are text, whatever they look like.
    text_until: Rc<Cell<usize>>,
    is_reached: Rc<Cell<bool>>,
}

impl Bound {
    /// The characters of a text, which end where the bound is reached.
    pub fn chars<'t>(&self, text: &'t str) -> impl Iterator<Item = char> + use<'t> {
        Bounded { chars: text.chars(), read: 0, bound: self.clone() }
    }

    pub fn is_reached(&self) -> bool {
        self.is_reached.get()
    }

    /// The parser has said something. `read`: how many characters that took; `rest`: those that follow; `is_block`: they
    /// stand in no brackets.
    pub fn event(&self, read: usize, rest: &str, is_block: bool) {
        self.marks.set(0);
        let value = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '-' | '?'));
        let before = rest.len() - value.len();
        let text_until = match value.chars().next() {
            Some('|' | '>') if is_block => usize::MAX,
            Some(quote @ ('"' | '\'')) if is_block => {
                let length = before + quoted_length(value, quote).unwrap_or_default();
                read + rest[..length].chars().count()
            }
            _ => 0,
        };
        self.text_until.set(text_until);
    }
}

struct Bounded<'t> {
    chars: Chars<'t>,
    read: usize,
    bound: Bound,
}

impl Iterator for Bounded<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        let Bound { marks, text_until, is_reached } = &self.bound;
        let next = self.chars.next()?;
        self.read += 1;
        if is_mark(next) && self.read > text_until.get() {
            marks.set(marks.get() + 1);
        }
        is_reached.set(is_reached.get() || marks.get() > MARKS);
        (!is_reached.get()).then_some(next)
    }
}
