//! What stands between two pieces: blanks, comments and lines' ends.

use super::syntax::Comment;

/// The rest of a line, and the lines after it that hold no piece.
#[derive(Clone, Copy, Default)]
pub(super) struct Gap<'t> {
    /// The comment in the rest of the line.
    pub beside: Option<Comment<'t>>,
    /// Whole lines, each a comment or empty.
    pub lines: &'t str,
    /// Whether the line ends.
    pub ends_line: bool,
    pub start: usize,
    pub lines_start: usize,
    /// Where the next piece begins.
    pub end: usize,
}

impl<'t> Gap<'t> {
    /// The gap that begins at a byte.
    pub fn at(text: &'t str, start: usize) -> Gap<'t> {
        let (beside, lines_start) = match start == 0 || text.as_bytes()[start - 1] == b'\n' {
            true => (None, Some(start)),
            false => rest_of_line(text, start),
        };
        let Some(lines_start) = lines_start else {
            let end = start + blanks(&text[start..]);
            return Gap { start, lines_start: end, end, ..Gap::default() };
        };
        let rest = &text[lines_start..];
        let held = rest.split_inclusive('\n').take_while(|line| is_blank(line) || is_comment(line));
        let lines = &rest[..held.map(str::len).sum()];
        let next = lines_start + lines.len();
        Gap { beside, lines, ends_line: true, start, lines_start, end: next + blanks(&text[next..]) }
    }

    /// The comments of two gaps between which nothing stands that has comments. `None`: they cannot be joined.
    pub fn followed_by(self, next: Gap<'t>, text: &'t str) -> Option<Gap<'t>> {
        let ends_line = self.ends_line || next.ends_line;
        let nothing = next.beside.is_none() && next.lines.is_empty();
        match self {
            _ if nothing => Some(Gap { ends_line, ..self }),
            Gap { beside: None, lines: "", .. } => Some(Gap { ends_line, ..next }),
            Gap { beside: Some(_), lines: "", .. } if next.beside.is_some() => {
                Some(Gap { beside: self.beside, lines: next.all_comments(text), ends_line, ..next })
            }
            Gap { beside: Some(_), lines: "", .. } => Some(Gap { beside: self.beside, ends_line, ..next }),
            Gap { .. } => None,
        }
    }

    /// The comment in the rest of the line with those in the lines after it.
    pub fn all_comments(&self, text: &'t str) -> &'t str {
        text[self.start..self.end].trim_ascii()
    }
}

/// The comment in the rest of a line, and where the next line begins, if nothing else is in it.
fn rest_of_line(text: &str, start: usize) -> (Option<Comment<'_>>, Option<usize>) {
    let spaces = blanks(&text[start..]);
    let rest = &text[start + spaces..];
    // A line may be long and hold many pieces: its end is looked for only where it is near.
    let is_comment = spaces > 0 && rest.starts_with('#');
    if !rest.is_empty() && !rest.starts_with('\n') && !is_comment {
        return (None, None);
    }
    let (comment, end) =
        rest.split_once('\n').map_or((rest, text.len()), |(line, rest)| (line, text.len() - rest.len()));
    (is_comment.then(|| Comment { spaces, text: comment.trim_ascii_end() }), Some(end))
}

/// How many blanks a text begins with.
pub(super) fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches([' ', '\t']).len()
}

/// How many spaces a line begins with.
pub(super) fn indentation(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

pub(super) fn is_blank(line: &str) -> bool {
    line.trim_ascii().is_empty()
}

fn is_comment(line: &str) -> bool {
    line.trim_ascii_start().starts_with('#')
}

/// Lines without the empty ones before them, and whether there were any.
pub(super) fn without_blank_start(lines: &str) -> (bool, &str) {
    let empty = lines.split_inclusive('\n').take_while(|line| is_blank(line)).map(str::len).sum();
    (empty > 0, &lines[empty..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_ends_at_the_next_piece() {
        let text = "a  # b\n\n  # c\n  d";
        let gap = Gap::at(text, 1);
        assert_eq!(gap.beside.map(|comment| (comment.spaces, comment.text)), Some((2, "# b")));
        assert_eq!((gap.lines, &text[gap.end..]), ("\n  # c\n", "d"));
        let gap = Gap::at("a: 'b'#c", 2);
        assert!(!gap.ends_line && gap.beside.is_none());
        assert_eq!(gap.end, 3);
    }
}
