//! The problems found while reading a spec.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::{Code, Diagnostic};

/// The problems found while reading a spec, errors first. Holds at most [`Diagnostics::LIMIT`] problems.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// How many problems were dropped because the list was full.
    omitted: usize,
    /// How many of the dropped problems were errors.
    omitted_errors: usize,
    /// Byte ranges that the renderer must not show: secrets and possible secrets. Sorted once reading has ended.
    pub(crate) hidden: Vec<Range<usize>>,
}

impl Diagnostics {
    /// The most problems kept. A text with more is not a spec, so further problems are only counted.
    pub const LIMIT: usize = 200;

    /// Adds a problem, or counts it if the list is full. An error then replaces a warning, so that the spec is always
    /// refused.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() >= Self::LIMIT {
            self.omitted += 1;
            let last_warning = self.list.iter().rposition(|d| !d.is_error()).filter(|_| diagnostic.is_error());
            let Some(last_warning) = last_warning else {
                self.omitted_errors += usize::from(diagnostic.is_error());
                return;
            };
            self.list.remove(last_warning);
        }
        self.list.push(diagnostic);
    }

    /// How many problems were found beyond those kept.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// How many of the omitted problems were errors.
    pub fn omitted_errors(&self) -> usize {
        self.omitted_errors
    }

    /// Whether any problem refuses the spec.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(Diagnostic::is_error)
    }

    /// The first problem that refuses the spec.
    pub fn first_error(&self) -> Option<&Diagnostic> {
        self.list.iter().find(|d| d.is_error())
    }

    /// The same list without the problems of one kind.
    pub fn without(mut self, code: Code) -> Diagnostics {
        self.list.retain(|d| d.code != code);
        self
    }

    /// The diagnostics, in the order in which they are printed.
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.list
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Diagnostic> {
        self.list.iter_mut()
    }

    /// Removes duplicates at the same place: the value of an anchor is read at every use. The list must be sorted.
    pub(crate) fn drop_repetitions(&mut self) {
        self.list.dedup_by(|next, first| {
            next.place.is_some() && (next.place, next.code, &next.message) == (first.place, first.code, &first.message)
        });
    }

    /// Sorts errors before warnings, then by position in the text. Problems without a place come last, in the order
    /// they were found.
    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|d| (d.severity, d.place.map_or(usize::MAX, |p| p.start)));
        self.hidden.sort_by_key(|range| (range.start, range.end));
        self.hidden.dedup_by(|next, range| {
            let touches = next.start <= range.end;
            range.end = if touches { range.end.max(next.end) } else { range.end };
            touches
        });
    }
}

impl std::ops::Deref for Diagnostics {
    type Target = [Diagnostic];

    fn deref(&self) -> &[Diagnostic] {
        &self.list
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Diagnostics {
        Diagnostics { list: vec![one], ..Diagnostics::default() }
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, more: I) {
        more.into_iter().for_each(|d| self.push(d));
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.list)
    }
}

impl fmt::Display for Diagnostics {
    /// Writes one line per problem, for errors and warnings alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.list.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{}: {diagnostic}", diagnostic.severity.as_str())?;
        }
        match self.omitted {
            0 => Ok(()),
            n => write!(f, "\nand {n} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}
