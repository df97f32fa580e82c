//! All problems of one reading.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::{Code, Diagnostic, Place, Remedy, Severity};

/// All problems of one reading, in the order of the text. Holds at most [`Diagnostics::LIMIT`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// How many more there were than are kept.
    omitted: usize,
    /// How many of those refuse the spec.
    omitted_errors: usize,
    /// Byte ranges that the renderer must not show: secrets, and what may be one. In order once the reading has ended.
    pub(crate) hidden: Vec<Range<usize>>,
}

impl Diagnostics {
    /// A text with more problems than this is not a spec; the rest is only counted.
    pub const LIMIT: usize = 200;

    /// Adds one, or counts it when there are too many already. An error takes the place of a warning: it must refuse the
    /// spec, however much else there is to say.
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

    /// The one problem that there is to say.
    pub(crate) fn refusal(problem: Diagnostic, hidden: Vec<Range<usize>>) -> Diagnostics {
        let mut problems = Diagnostics { hidden, ..problem.into() };
        problems.sort();
        problems
    }

    /// Whether further errors are only counted, so that no work should go into wording them.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= Self::LIMIT && self.list.iter().all(Diagnostic::is_error)
    }

    /// Counts an error that nobody worded.
    pub(crate) fn count_error(&mut self) {
        self.omitted += 1;
        self.omitted_errors += 1;
    }

    /// Whether a warning would only be counted; then it is, and need not be worded.
    pub(crate) fn counts_warning(&mut self) -> bool {
        let is_counted = self.list.len() >= Self::LIMIT;
        self.omitted += usize::from(is_counted);
        is_counted
    }

    /// How many problems were found beyond those kept.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// How many of those were errors when they were found.
    pub fn omitted_errors(&self) -> usize {
        self.omitted_errors
    }

    /// Whether anything in it refuses the spec.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(Diagnostic::is_error)
    }

    /// The first problem that refuses the spec.
    pub fn first_error(&self) -> Option<&Diagnostic> {
        self.list.iter().find(|d| d.is_error())
    }

    /// The same without problems of one kind.
    pub fn without(mut self, code: Code) -> Diagnostics {
        self.list.retain(|d| d.code != code);
        self
    }

    /// The list itself.
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.list
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Diagnostic> {
        self.list.iter_mut()
    }

    /// Ends a strict reading: nothing was mended.
    pub(crate) fn harden(&mut self) {
        self.list.iter_mut().for_each(|d| d.remedy = None);
    }

    /// Ends a lenient reading: what was mended or left out refuses the spec no more, and is told. What nobody dealt with
    /// was kept, and still does.
    pub(crate) fn soften(&mut self) {
        for diagnostic in self.list.iter_mut().filter(|d| d.is_error()) {
            let remedy = diagnostic.remedy.get_or_insert_with(|| Box::new(Remedy::Kept));
            if **remedy != Remedy::Kept {
                diagnostic.severity = Severity::Warning;
            }
        }
    }

    /// Ends a reading that looks at the form alone: the rest is for the server to refuse.
    pub(crate) fn keep_to_form(&mut self) {
        self.harden();
        let of_rules = |d: &&mut Diagnostic| d.is_error() && !d.code.is_of_form();
        self.list.iter_mut().filter(of_rules).for_each(|d| d.severity = Severity::Warning);
    }

    /// Gives the advice for a wrong value to the problem at `index`, a misspelt field that this value stands under: one
    /// mistake, told once.
    pub(crate) fn join_advice(&mut self, index: usize, path: &str) {
        let is_value = |d: &Diagnostic| d.code == Code::WrongType && d.help.is_some() && d.path == path;
        let Some(at) = self.list.iter().skip(index + 1).position(is_value) else { return };
        let advice = self.list.remove(index + 1 + at).help.unwrap_or_default();
        let first = &mut self.list[index];
        let so_far = first.help.take().unwrap_or_default();
        first.help = Some(format!("{so_far} {advice}").into_boxed_str());
    }

    /// Each thing is told once: a template is found in the text and again in the field, and what an anchor holds is read
    /// wherever it is used.
    pub(crate) fn tell_once(&mut self) {
        let mut told: Vec<Diagnostic> = Vec::with_capacity(self.list.len());
        for next in std::mem::take(&mut self.list) {
            let mut same_place = told.iter_mut().rev().take_while(|d| d.place.map(start) == next.place.map(start));
            match same_place.find(|first| next.place.is_some() && next.repeats(first)) {
                Some(first) if first.path.is_empty() => first.path = next.path,
                Some(_) => {}
                None => told.push(next),
            }
        }
        self.list = told;
    }

    /// Quotes no more than the first line of a value: what follows may belong to another one, such as a secret.
    pub(crate) fn quote_first_lines(&mut self, text: &str) {
        let quotes_value = |d: &&mut Diagnostic| {
            matches!(d.code, Code::UnknownValue | Code::BadName | Code::BadFormat | Code::Unsubstituted)
        };
        for diagnostic in self.list.iter_mut().filter(quotes_value) {
            let value = diagnostic.place.and_then(|place| text.get(place.start..place.end)).unwrap_or_default();
            let Some((first, _)) = value.trim_end().split_once('\n') else { continue };
            let first = crate::suggest::shown(first.trim());
            diagnostic.message = format!("`{first}…`, a text of several lines, is not allowed here");
            diagnostic.help = None;
            if let Some(Remedy::TakenAs(_)) = diagnostic.remedy.as_deref() {
                diagnostic.remedy = Some(Box::new(Remedy::TakenAs("what is nearest to it".to_owned())));
            }
        }
    }

    /// Points at a reference itself, where the value around it stands in one line of `text`.
    pub(crate) fn point_at_references(&mut self, text: &str) {
        for diagnostic in self.list.iter_mut().filter(|d| d.code == Code::UnknownReference) {
            let written = diagnostic.message.split('`').nth(1).unwrap_or_default();
            let Some(place) = &mut diagnostic.place else { continue };
            let value = text.get(place.start..place.end).unwrap_or_default();
            if let Some(at) = value.find(written).filter(|_| !written.is_empty() && !value.contains('\n')) {
                place.column += u32::try_from(value[..at].chars().count()).unwrap_or(0);
                place.start += at;
                place.end = place.start + written.len();
            }
        }
        self.sort();
    }

    /// Orders by place; what has no place comes last, in the order it was found.
    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|d| d.place.map_or(usize::MAX, |p| p.start));
        self.hidden.sort_by_key(|range| (range.start, range.end));
        self.hidden.dedup_by(|next, range| {
            let touches = next.start <= range.end;
            range.end = if touches { range.end.max(next.end) } else { range.end };
            touches
        });
    }
}

fn start(place: Place) -> usize {
    place.start
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
    /// One line per problem, errors and warnings alike.
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
