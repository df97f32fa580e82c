//! Why a text is no YAML, in the words of the mistakes that people make: the parser stops where it can go no further, and
//! the culprit often stands before or behind that.
//!
//! Nothing here quotes more of a text than marks and the names of fields: any word may be a secret.

use std::ops::Range;

/// What is wrong, and where.
#[derive(Debug, PartialEq)]
pub(crate) struct Explained {
    /// The bytes that are to blame.
    pub at: Range<usize>,
    pub message: String,
    pub help: Option<&'static str>,
    /// The bracket that was opened before, when that explains it.
    pub opened: Option<usize>,
}

/// Where the parser stopped.
pub(super) struct Stop<'t> {
    pub body: &'t str,
    /// The byte.
    pub at: usize,
    /// The parser's words.
    pub info: &'t str,
    /// The innermost bracket that is open there.
    pub bracket: Option<usize>,
}

impl Explained {
    fn new(at: Range<usize>, message: impl Into<String>) -> Explained {
        Explained { at, message: message.into(), help: None, opened: None }
    }

    fn help(self, help: &'static str) -> Explained {
        Explained { help: Some(help), ..self }
    }
}

/// The first explanation that fits, else the parser's own words.
pub(super) fn explain(stop: &Stop<'_>) -> Explained {
    let lines = Lines::around(stop.body, stop.at);
    mark_of_another_file(&lines)
        .or_else(|| lines.near().find_map(of_a_template))
        .or_else(|| lines.near().find_map(indented_by_a_tab))
        .or_else(|| lines.near().find_map(indented_by_an_odd_space))
        .or_else(|| bracket(stop, &lines))
        .or_else(|| quote(stop))
        .or_else(|| missing_space(&lines))
        .or_else(|| missing_colon(stop, &lines))
        .or_else(|| indentation(stop, &lines))
        .unwrap_or_else(|| in_the_words_of_the_parser(stop))
}

/// A line that is indented by what only looks like spaces. A text may hold such lines and still be YAML of another meaning.
pub(super) fn odd_space(body: &str) -> Option<Explained> {
    lines(body).find_map(indented_by_an_odd_space)
}

/// A comment in a text that is JSON otherwise.
pub(super) fn comment_in_json(body: &str) -> Option<Explained> {
    let is_json = body.trim_start().starts_with(['{', '[']);
    let mut is_text = false;
    let mut before = '\n';
    for (at, c) in body.char_indices().take_while(|_| is_json) {
        let begins = !is_text && (before.is_whitespace() || "{[,".contains(before));
        if begins && (body[at..].starts_with("//") || body[at..].starts_with("/*")) {
            let comment = Explained::new(at..at + 2, "JSON has no comments, and here one begins");
            return Some(comment.help("leave the comments out, or begin each with `#`"));
        }
        is_text ^= c == '"' && before != '\\';
        before = c;
    }
    None
}

/// A line, with its first byte.
#[derive(Clone, Copy)]
struct Line<'t> {
    start: usize,
    text: &'t str,
}

impl<'t> Line<'t> {
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    fn is_blank(&self) -> bool {
        let content = self.text.trim_start();
        content.is_empty() || content.starts_with('#')
    }

    /// The byte of the `:` behind its key.
    fn colon(&self) -> Option<usize> {
        let content = self.content();
        Some(content.start + key(content.text)?.len())
    }

    /// What stands behind the indentation and the dashes of a list, with its first byte.
    fn content(&self) -> Line<'t> {
        let mut text = self.text.trim_start();
        while let Some(rest) = text.strip_prefix("- ") {
            text = rest.trim_start();
        }
        Line { start: self.start + self.text.len() - text.len(), text }
    }
}

fn lines(body: &str) -> impl Iterator<Item = Line<'_>> {
    body.split_inclusive('\n').scan(0, |at, text| {
        let start = std::mem::replace(at, *at + text.len());
        Some(Line { start, text: text.trim_end() })
    })
}

/// The lines around the place where the parser stopped.
struct Lines<'t> {
    all: Vec<Line<'t>>,
    /// The line of the place.
    stop: usize,
}

impl<'t> Lines<'t> {
    fn around(body: &'t str, at: usize) -> Lines<'t> {
        let all: Vec<Line<'t>> = lines(body).collect();
        let is_behind_all = at == body.len() && body.ends_with('\n');
        let stop = all.partition_point(|line| line.start <= at).saturating_sub(usize::from(!is_behind_all));
        Lines { all, stop }
    }

    /// From two lines before the place to the one behind it: further away, text of several lines may look like anything.
    fn near(&self) -> impl Iterator<Item = Line<'t>> {
        let from = self.stop.saturating_sub(2);
        self.all.iter().copied().skip(from).take(self.stop + 2 - from).filter(|line| !line.is_blank())
    }

    fn at(&self) -> Option<Line<'t>> {
        self.all.get(self.stop).copied()
    }

    /// The last line before the place that says something.
    fn before(&self) -> Option<Line<'t>> {
        self.all[..self.stop.min(self.all.len())].iter().rev().copied().find(|line| !line.is_blank())
    }
}

/// Such lines stand at the left edge, where no text of several lines goes on.
fn mark_of_another_file(lines: &Lines<'_>) -> Option<Explained> {
    let whole = |line: &Line<'_>| line.start..line.start + line.text.len();
    let is_merge = |line: &&Line<'_>| {
        line.text.starts_with("<<<<<<< ") || line.text.starts_with(">>>>>>> ") || line.text == "======="
    };
    if let Some(line) = lines.all.iter().find(is_merge) {
        let merge = Explained::new(whole(line), "a merge was not finished: here begins what the two sides disagree on");
        return Some(merge.help("keep one side, and remove the lines `<<<<<<<`, `=======` and `>>>>>>>`"));
    }
    let fence = lines.all.iter().find(|line| line.text.starts_with("```"))?;
    Some(
        Explained::new(whole(fence), "this line is Markdown")
            .help("leave out the lines that begin with three backticks"),
    )
}

fn of_a_template(line: Line<'_>) -> Option<Explained> {
    let start = line.start + line.indent();
    let is_template = ["{{", "{%"].iter().any(|mark| line.text.trim_start().starts_with(mark));
    let template =
        Explained::new(start..line.start + line.text.len(), "this line is of a template that nothing has rendered");
    is_template.then(|| template.help("render the template before the spec is applied"))
}

fn indented_by_a_tab(line: Line<'_>) -> Option<Explained> {
    let tab = line.text[..line.indent()].find('\t')? + line.start;
    Some(Explained::new(tab..tab + 1, "a tab indents this line").help("indent with spaces"))
}

fn indented_by_an_odd_space(line: Line<'_>) -> Option<Explained> {
    let is_odd = |c: char| !c.is_ascii() && (c.is_whitespace() || c == '\u{200b}' || c == '\u{feff}');
    let end = line.text.find(|c: char| c != ' ' && !is_odd(c)).unwrap_or(line.text.len());
    let (at, c) = line.text[..end].char_indices().find(|(_, c)| is_odd(*c))?;
    let at = line.start + at;
    let message = format!("the character U+{:04X} indents this line: it only looks like a space", u32::from(c));
    Some(Explained::new(at..at + c.len_utf8(), message).help("indent with spaces"))
}

fn bracket(stop: &Stop<'_>, lines: &Lines<'_>) -> Option<Explained> {
    let opened = stop.bracket?;
    let (open, close) = if stop.body[opened..].starts_with('{') { ('{', '}') } else { ('[', ']') };
    let next = stop.body[stop.at..].chars().next();
    match next {
        Some(wrong @ ('}' | ']')) if wrong != close => {
            let message = format!("a `{close}` is missing before this `{wrong}`");
            Some(Explained { opened: Some(opened), ..Explained::new(stop.at..stop.at + 1, message) })
        }
        None | Some('\n') => Some(unclosed(opened, open)),
        Some(_) => {
            // What follows looks like the next field of a block.
            let line = lines.at()?;
            let is_field =
                key(line.content().text).is_some_and(|key| line.content().text[key.len() + 1..].starts_with(' '));
            (line.start > opened && is_field && !line.text.ends_with([',', close])).then(|| unclosed(opened, open))
        }
    }
}

fn unclosed(opened: usize, open: char) -> Explained {
    Explained::new(opened..opened + 1, format!("this `{open}` is not closed"))
}

fn quote(stop: &Stop<'_>) -> Option<Explained> {
    let is_open = ["invalid indentation in quoted scalar", "unexpected end of stream", "unexpected document indicator"]
        .iter()
        .any(|words| stop.info.contains(words));
    let begins = stop.body[stop.at..].starts_with(['"', '\'']);
    (is_open && begins).then(|| Explained::new(stop.at..stop.at + 1, "this quote is not closed"))
}

/// `image:{…}`, `-name: web`.
fn missing_space(lines: &Lines<'_>) -> Option<Explained> {
    [lines.before(), lines.at()].into_iter().flatten().find_map(|line| {
        let content = line.content();
        let dashed = content.text.strip_prefix('-').filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
        if dashed.is_some_and(|rest| key(rest).is_some()) {
            return Some(Explained::new(content.start..content.start + 1, "a space is missing after this `-`"));
        }
        let colon = key(content.text)?.len();
        let at = content.start + colon;
        let glued = content.text[colon + 1..].starts_with(['{', '[', '"', '\'']);
        glued.then(|| Explained::new(at..at + 1, "a space is missing after this `:`"))
    })
}

/// `http_port 80`: the parser looks for the `:` until another key comes.
fn missing_colon(stop: &Stop<'_>, lines: &Lines<'_>) -> Option<Explained> {
    let is_first_colon = lines.at().is_some_and(|line| line.colon() == Some(stop.at));
    let is_without = stop.info.contains("simple key expect")
        || (stop.info.contains("mapping values are not allowed") && is_first_colon);
    let is_text = |line: &Line<'_>| line.text.contains(':') || line.text.ends_with(['|', '>']);
    let line = lines.before().filter(|line| is_without && !is_text(line))?;
    let content = line.content();
    let word = content.text.split(char::is_whitespace).next().unwrap_or_default();
    let at = content.start..content.start + word.len();
    let help = "a field is written `name: value`";
    Some(match crate::veil::is_shown_field(word) {
        true => Explained::new(at, format!("a `:` is missing after `{word}`")).help(help),
        false => Explained::new(at, "this line is neither a field nor an item of a list").help(help),
    })
}

fn indentation(stop: &Stop<'_>, lines: &Lines<'_>) -> Option<Explained> {
    let line = lines.at()?;
    let is_at_start = stop.at <= line.content().start;
    let here = line.start + line.indent()..line.content().start.max(line.start + line.indent() + 1);
    if stop.info.contains("mapping values are not allowed") {
        return Some(match line.colon() == Some(stop.at) {
            true => Explained::new(here, "this line is indented further than the line above allows")
                .help("put it below the first letter of the field beside it"),
            false => Explained::new(stop.at..stop.at + 1, "a second `: ` stands in this line")
                .help("quote text that holds `: `"),
        });
    }
    let is_block = stop.info.contains("block") && stop.info.contains("did not find expected");
    (is_block && is_at_start).then(|| {
        Explained::new(here, "the indentation of this line fits none of the lines above it")
            .help("put it below the first letter of the field beside it")
    })
}

fn in_the_words_of_the_parser(stop: &Stop<'_>) -> Explained {
    let Stop { at, info, .. } = *stop;
    let here = at..at + 1;
    let next = stop.body[at..].chars().next();
    if let Some(c @ ('@' | '`' | '%')) = next.filter(|_| info.contains("unexpected character")) {
        let mark = if c == '`' { "a backtick".to_owned() } else { format!("`{c}`") };
        return Explained::new(here, format!("no text begins with {mark}")).help("put the text in quotes");
    }
    if info.contains("unknown anchor") {
        return Explained::new(here, "`*` names an anchor, and there is none of that name")
            .help("quote text that begins with `*`");
    }
    let explained = Explained::new(here, format!("this is not valid YAML: {info}"));
    match info {
        _ if info.contains("escape character") => {
            explained.help("in double quotes `\\` begins an escape: write it twice, or use single quotes")
        }
        _ if info.contains("block") && info.contains("did not find expected") => {
            explained.help("check the indentation here and of the lines above")
        }
        _ if info.contains("flow") && info.contains("expected") => explained
            .help("inside braces and brackets, quote text that holds `{`, `}`, `[`, `]` or `,`, such as `${NAME}`"),
        _ if info.contains("tab") => explained.help("use spaces"),
        _ => explained,
    }
}

/// The key that a line begins with.
fn key(text: &str) -> Option<&str> {
    let key = &text[..text.find(':')?];
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    is_key.then_some(key)
}
