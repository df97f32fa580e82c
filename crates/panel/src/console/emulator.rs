//! The screen of a console: from the output of a shell to rows of text with colours.
//!
//! The output is untrusted. The emulator keeps a bounded number of rows, and what it shows is text.

use std::num::NonZeroU16;
use std::ops::Range;

use bytes::Bytes;
use controller::console::TerminalSize;
use vt100::{Callbacks, Cell, Color, Parser};

use crate::ui::log::Run;

/// Rows that are kept after they have left the screen. Together with the largest size, a console needs at most 9 MB.
const HISTORY_ROWS: usize = 1000;
/// Sizes outside of these limits are adjusted to them.
const COLUMNS: (u16, u16) = (20, 250);
const ROWS: (u16, u16) = (4, 100);
/// Newer lines than these push a line out of all kept rows.
const KEPT_LINES: usize = HISTORY_ROWS + ROWS.1 as usize;
/// An escape sequence that began in earlier output, and is not ignored text such as a title, ends within so many bytes.
const LONGEST_SEQUENCE: usize = 64;
/// Answers to the shell that wait. A shell that asks for more does not read them.
const MAX_ANSWER_BYTES: usize = 1024;

/// A row, as pieces that look the same. Empty space at its end is left out.
pub(super) type Row = Vec<Run>;

/// What a console shows at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Screen {
    pub rows: Vec<Row>,
    /// The arrow keys send other sequences.
    pub application_cursor: bool,
    /// Pasted text is marked.
    pub bracketed_paste: bool,
    /// How many rows have left the screen and are kept.
    pub history: usize,
    /// Why the console has ended. For people.
    pub ended: Option<String>,
}

/// A terminal in memory.
pub(super) struct Emulator(Parser<Answers>);

/// What the terminal answers when a program asks for its state. Nothing that was printed becomes part of an answer.
#[derive(Default)]
struct Answers(Vec<u8>);

impl Callbacks for Answers {
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        first: Option<u8>,
        _: Option<u8>,
        params: &[&[u16]],
        end: char,
    ) {
        let answer = match (first, params, end) {
            // DSR: whether the terminal works, and where its cursor is.
            (None, [[5]], 'n') => "\x1b[0n".to_owned(),
            (None, [[6]], 'n') => {
                let (row, column) = screen.cursor_position();
                format!("\x1b[{};{}R", row + 1, column + 1)
            }
            // DA: a VT102.
            (None, [] | [[0]], 'c') => "\x1b[?6c".to_owned(),
            _ => return,
        };
        if self.0.len() + answer.len() <= MAX_ANSWER_BYTES {
            self.0.extend_from_slice(answer.as_bytes());
        }
    }
}

impl Emulator {
    pub fn new(size: TerminalSize) -> Self {
        let (rows, columns) = dimensions(size);
        Self(Parser::new_with_callbacks(rows, columns, HISTORY_ROWS, Answers::default()))
    }

    /// Takes output of the shell. Returns what the terminal answers.
    pub fn process(&mut self, output: &[u8]) -> Vec<u8> {
        self.0.process(output);
        std::mem::take(&mut self.0.callbacks_mut().0)
    }

    /// Returns the size that the terminal has now.
    pub fn resize(&mut self, size: TerminalSize) -> TerminalSize {
        let (rows, columns) = dimensions(size);
        self.0.set_size(rows, columns);
        TerminalSize { width: columns.get(), height: rows.get() }
    }

    pub fn screen(&self) -> Screen {
        let screen = self.0.screen();
        let cursor = (!screen.hide_cursor()).then(|| screen.cursor_position());
        let cursor_in = |row| cursor.filter(|(in_row, _)| *in_row == row).map(|(_, column)| column);
        Screen {
            rows: (0..screen.size().0.get()).map(|row| row_of(screen, row, cursor_in(row))).collect(),
            application_cursor: screen.application_cursor(),
            bracketed_paste: screen.bracketed_paste(),
            history: screen.scrollback_len(),
            ended: None,
        }
    }

    /// The rows that have left the screen, oldest first.
    pub fn history(&mut self) -> Vec<Row> {
        let screen = self.0.screen_mut();
        let height = usize::from(screen.size().0.get());
        let mut left = screen.scrollback_len();
        let mut rows = Vec::with_capacity(left);
        while left > 0 {
            screen.set_scrollback(left);
            let count = left.min(height);
            rows.extend((0..count as u16).map(|row| row_of(screen, row, None)));
            left -= count;
        }
        screen.set_scrollback(0);
        rows
    }
}

/// The output without lines that cannot be seen, because newer lines of the same output push them out of all kept rows. An
/// engine keeps up to 2 MB of output for a slow reader. The emulator needs seconds for as much of `yes`, and shows what a key
/// does only after that.
pub(super) fn without_hidden_lines(output: Bytes) -> Bytes {
    let hidden = hidden_lines(&output);
    match hidden.is_empty() {
        true => output,
        false => [&output[..hidden.start], &output[hidden.end..]].concat().into(),
    }
}

/// Only plain text is left out. The lines begin and end in the first column, so that what follows stays where it is.
fn hidden_lines(output: &[u8]) -> Range<usize> {
    let is_special = |byte: &u8| !matches!(byte, b' '..=b'~' | b'\r' | b'\n');
    let plain_from = output.iter().rposition(is_special).map_or(0, |at| at + 1) + LONGEST_SEQUENCE;
    let mut ends = output.windows(2).enumerate().filter(|(_, pair)| pair == b"\r\n").map(|(at, _)| at + 2);
    let Some(end) = ends.clone().rev().nth(KEPT_LINES) else { return 0..0 };
    let start = ends.find(|start| *start >= plain_from).unwrap_or(end);
    start.min(end)..end
}

fn dimensions(size: TerminalSize) -> (NonZeroU16, NonZeroU16) {
    let within = |value: u16, (least, most): (u16, u16)| {
        NonZeroU16::new(value.clamp(least, most)).expect("the least size is not 0")
    };
    (within(size.height, ROWS), within(size.width, COLUMNS))
}

fn row_of(screen: &vt100::Screen, row: u16, cursor: Option<u16>) -> Row {
    let mut runs: Row = Vec::new();
    for column in 0..screen.size().1.get() {
        let Some(cell) = screen.cell(row, column).filter(|it| !it.is_wide_continuation()) else { continue };
        let run = run_of(cell, cursor == Some(column));
        match runs.last_mut() {
            // A wide character is a piece of its own, because fonts disagree about its width.
            Some(last) if !run.wide && last.looks_like(&run) => last.text.push_str(&run.text),
            _ => runs.push(run),
        }
    }
    if let Some(last) = runs.last_mut().filter(|it| it.looks_like(&Run::default())) {
        last.text.truncate(last.text.trim_end_matches(' ').len());
    }
    runs.retain(|it| !it.text.is_empty());
    runs
}

fn run_of(cell: &Cell, is_cursor: bool) -> Run {
    // Characters that would change the direction of the row or are invisible have no cell in a terminal.
    let text: String = cell.contents().chars().filter(|c| !app_spec::is_deceptive(*c)).collect();
    let text = if text.is_empty() { " ".into() } else { text };
    let (foreground, background) = (index(cell.fgcolor()), index(cell.bgcolor()));
    let mut run = Run {
        text,
        foreground,
        background,
        bold: cell.bold(),
        dim: cell.dim(),
        italic: cell.italic(),
        underlined: cell.underline(),
        inverse: cell.inverse(),
        wide: cell.is_wide(),
        cursor: is_cursor,
    };
    // With a colour, the style sheet's own pairs stay readable. Without one, it exchanges the default colours.
    if run.inverse && foreground.is_some() {
        run = Run { foreground: background, background: foreground, inverse: false, ..run };
    }
    run
}

/// The usual values of the 16 colours, to find the one that is nearest to another colour.
const PALETTE: [[u8; 3]; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0, 0, 238],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 92, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

/// The index among the 16 colours. The style sheet has no others.
fn index(color: Color) -> Option<u8> {
    match color {
        Color::Default => None,
        Color::Idx(index @ 0..16) => Some(index),
        // The cube of 6 × 6 × 6 colours, and 24 shades of grey.
        Color::Idx(index @ 16..232) => {
            let level = |part: u8| if part == 0 { 0 } else { 55 + 40 * part };
            let at = index - 16;
            Some(nearest([level(at / 36), level(at / 6 % 6), level(at % 6)]))
        }
        Color::Idx(index) => Some(nearest([8 + 10 * (index - 232); 3])),
        Color::Rgb(red, green, blue) => Some(nearest([red, green, blue])),
    }
}

fn nearest(color: [u8; 3]) -> u8 {
    let distance = |known: &[u8; 3]| -> u32 {
        known.iter().zip(color).map(|(known, wanted)| u32::from(known.abs_diff(wanted)).pow(2)).sum()
    };
    (0_u8..16).min_by_key(|index| distance(&PALETTE[usize::from(*index)])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::log;

    const SIZE: TerminalSize = TerminalSize { width: 20, height: 4 };

    fn after(output: &str) -> Emulator {
        let mut emulator = Emulator::new(SIZE);
        emulator.process(output.as_bytes());
        emulator
    }

    /// The markup of the first row, without the cursor.
    fn first_row(output: &str) -> String {
        let screen = after(&format!("\x1b[?25l{output}")).screen();
        let markup = log::row(0, &screen.rows[0]).into_string();
        markup.trim_start_matches("<div id=\"row-0\">").trim_end_matches("</div>").to_owned()
    }

    #[test]
    fn attributes_and_colours_become_classes() {
        for (output, expected) in [
            ("plain  ", "plain"),
            (
                "\x1b[1mb\x1b[0;2md\x1b[0;3mi\x1b[0;4mu",
                "<span class=\"bold\">b</span><span class=\"dim\">d</span><span class=\"italic\">i</span><span class=\"underlined\">u</span>",
            ),
            ("\x1b[31mred\x1b[0m x", "<span class=\"fg-1\">red</span> x"),
            ("\x1b[92;44mx", "<span class=\"fg-10 bg-4\">x</span>"),
            ("\x1b[38;5;196mx", "<span class=\"fg-9\">x</span>"),
            ("\x1b[38;5;244mx", "<span class=\"fg-8\">x</span>"),
            ("\x1b[48;2;0;0;230mx", "<span class=\"bg-4\">x</span>"),
            ("\x1b[7mx", "<span class=\"inverse\">x</span>"),
            ("\x1b[7;32mx", "<span class=\"bg-2\">x</span>"),
            ("a\x1b[5Gb", "a   b"),
            ("\x1b[42m \x1b[0m   ", "<span class=\"bg-2\"> </span>"),
        ] {
            assert_eq!(first_row(output), expected, "{output:?}");
        }
    }

    #[test]
    fn a_wide_character_has_two_columns_and_a_combining_one_none() {
        assert_eq!(first_row("a漢b"), "a<span class=\"wide\">漢</span>b");
        assert_eq!(first_row("e\u{301}x"), "e\u{301}x");
    }

    #[test]
    fn output_is_text_and_cannot_leave_its_row() {
        assert_eq!(first_row("<b>\"&'</b>"), "&lt;b&gt;&quot;&amp;'&lt;/b&gt;");
        assert_eq!(first_row("\x1b[31m<img onerror=1>"), "<span class=\"fg-1\">&lt;img onerror=1&gt;</span>");
        assert_eq!(first_row("a\u{202e}b\u{2066}c\u{9b}d\0e\u{e0041}f"), "abcdef");
        assert_eq!(first_row("\x1b]0;title\x07\x1b]52;c;aGk=\x07x"), "x");
    }

    #[test]
    fn the_cursor_is_shown_unless_the_program_hides_it() {
        let cursors = |output| {
            let screen = after(output).screen();
            screen.rows.iter().flatten().filter(|it| it.cursor).cloned().collect::<Vec<_>>()
        };
        assert_eq!(cursors("ab\x1b[D"), [Run { text: "b".into(), cursor: true, ..Run::default() }]);
        assert_eq!(cursors("ab")[0].text, " ", "after the text");
        assert_eq!(cursors("\x1b[?25lab"), []);
    }

    #[test]
    fn the_modes_tell_the_page_what_keys_send() {
        let modes = |output| {
            let screen = after(output).screen();
            (screen.application_cursor, screen.bracketed_paste)
        };
        assert_eq!(modes(""), (false, false));
        assert_eq!(modes("\x1b[?1h\x1b[?2004h"), (true, true));
        assert_eq!(modes("\x1b[?1h\x1b[?2004h\x1b[?1l\x1b[?2004l"), (false, false));
    }

    #[test]
    fn programs_get_answers_that_contain_nothing_printed() {
        let mut emulator = Emulator::new(SIZE);
        assert_eq!(emulator.process(b"\x1b[2;3H\x1b[6n\x1b[5n\x1b[c\x1b[0c"), b"\x1b[2;3R\x1b[0n\x1b[?6c\x1b[?6c");
        assert_eq!(emulator.process(b"\x1b]0;rm -rf\x07\x1b[21t\x1bP$qm\x1b\\\x1b]11;?\x07"), b"");
        assert!(emulator.process(&b"\x1b[6n".repeat(10_000)).len() <= MAX_ANSWER_BYTES);
    }

    #[test]
    fn rows_that_left_the_screen_are_kept_up_to_a_limit() {
        let lines = |count: usize| (1..=count).map(|it| format!("{it}\r\n")).collect::<String>();
        let text =
            |rows: &[Row]| rows.iter().map(|row| row.iter().map(|it| &*it.text).collect()).collect::<Vec<String>>();
        let mut emulator = after(&lines(10));
        assert_eq!(text(&emulator.history()), ["1", "2", "3", "4", "5", "6", "7"]);
        assert_eq!(text(&emulator.screen().rows)[..3], ["8", "9", "10"]);
        let mut emulator = after(&lines(5000));
        assert_eq!((emulator.history().len(), emulator.screen().history), (HISTORY_ROWS, HISTORY_ROWS));
    }

    #[test]
    fn lines_that_cannot_be_seen_are_left_out_and_nothing_looks_different() {
        let state = |output: &[u8]| {
            let mut emulator = Emulator::new(TerminalSize { width: 250, height: 100 });
            emulator.process(b"above\r\n\x1b[3");
            emulator.process(output);
            (emulator.screen(), emulator.history())
        };
        let yes = "y\r\n".repeat(10_000);
        let few = "y\r\n".repeat(KEPT_LINES);
        for (output, is_shorter) in [
            (format!("1m{yes}ready> "), true),
            (format!("1m{yes}\x1b[0mready> "), false),
            (format!("1m{yes}\x1b[32mgreen\r\n{yes}"), true),
            (format!("1m{few}\x1b[32mgreen\r\n{few}"), false),
            (format!("1m{}", "a longer line\r\n\r\n".repeat(2000)), true),
            (format!("1m{}", "no carriage return\n".repeat(10_000)), false),
            (few, false),
            (String::new(), false),
        ] {
            let shown = without_hidden_lines(output.clone().into());
            assert_eq!(shown.len() < output.len(), is_shorter, "{} of {}", shown.len(), output.len());
            assert_eq!(state(&shown), state(output.as_bytes()), "{}", &output[..output.len().min(20)]);
        }
        let flood = without_hidden_lines(yes.into());
        assert!(flood.len() < 4 * KEPT_LINES, "{}", flood.len());
    }

    #[test]
    fn a_size_stays_within_limits() {
        let mut emulator = Emulator::new(SIZE);
        for (width, height, expected) in [(0, 0, (20, 4)), (9999, 9999, (250, 100)), (120, 40, (120, 40))] {
            let now = emulator.resize(TerminalSize { width, height });
            assert_eq!((now.width, now.height), expected);
            assert_eq!(emulator.screen().rows.len(), usize::from(expected.1));
        }
    }

    #[test]
    fn a_sequence_without_an_end_needs_no_memory_and_disturbs_nothing_after_it() {
        let mut emulator = Emulator::new(SIZE);
        emulator.process(b"\x1b]0;");
        (0..100).for_each(|_| drop(emulator.process(&[b'x'; 64 << 10])));
        emulator.process(b"\x07ok");
        assert_eq!(emulator.screen().rows[0][0].text, "ok");
    }
}
