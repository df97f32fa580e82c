//! Why a text is no YAML, in the words of the mistakes that people make: the parser stops where it can go no further, and
//! the culprit often stands before or behind that.
//!
//! Nothing here quotes more of a text than marks and the names of fields: any word may be a secret.

mod flow;
mod lines;
mod value;

use std::ops::Range;

use lines::{Line, Lines, key};

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
        .or_else(|| flow::explain(stop, &lines))
        .or_else(|| value::quote(stop))
        .or_else(|| missing_space(stop, &lines))
        .or_else(|| glued_value(stop, &lines))
        .or_else(|| missing_colon(stop, &lines))
        .or_else(|| indentation(stop, &lines))
        .or_else(|| value::explain(stop))
        .unwrap_or_else(|| in_the_words_of_the_parser(stop))
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

/// `image:{…}`, `-name: web`.
fn missing_space(stop: &Stop<'_>, lines: &Lines<'_>) -> Option<Explained> {
    [lines.before(), lines.at()].into_iter().flatten().find_map(|line| {
        let content = line.content();
        let dashed = content.text.strip_prefix('-').filter(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
        if dashed.is_some_and(|rest| key(rest).is_some()) {
            return Some(Explained::new(content.start..content.start + 1, "a space is missing after this `-`"));
        }
        let opens = |colon: &usize| stop.body[colon + 1..].starts_with(['{', '[', '"', '\'']);
        line.glued_colon().filter(opens).map(space_behind)
    })
}

fn space_behind(colon: usize) -> Explained {
    Explained::new(colon..colon + 1, "a space is missing after this `:`")
}

/// `http_port:80` is a text, and the parser looks for the `:` behind it until another key comes.
fn glued_value(stop: &Stop<'_>, lines: &Lines<'_>) -> Option<Explained> {
    if stop.info.contains("simple key expect") {
        return lines.before()?.glued_colon().map(space_behind);
    }
    let is_first_colon = lines.at().is_some_and(|line| line.colon() == Some(stop.at));
    if !is_first_colon || !stop.info.contains("mapping values are not allowed") {
        return None;
    }
    // The text goes on over such lines: the first of them is to blame, if it could not itself go on a text before it.
    let first = lines.upwards().take(MOST_GLUED).take_while(|line| line.glued_colon().is_some()).enumerate().last();
    let (count, first) = first.map(|(index, line)| (index + 1, line))?;
    let begins = first.is_item() || lines.upwards().nth(count).is_none_or(|above| above.text.ends_with([':', '-']));
    first.glued_colon().filter(|_| begins).map(space_behind)
}

/// Lines looked at before the one where the parser stopped.
const MOST_GLUED: usize = 100;

/// `http_port 80`: the parser looks for the `:` until another key comes.
fn missing_colon(stop: &Stop<'_>, lines: &Lines<'_>) -> Option<Explained> {
    let is_first_colon = lines.at().is_some_and(|line| line.colon() == Some(stop.at));
    let is_no_key = stop.info.contains("simple key expect");
    let is_without = is_no_key || (stop.info.contains("mapping values are not allowed") && is_first_colon);
    // The `:` of an address makes no key.
    let colon = if is_no_key { ": " } else { ":" };
    let is_text = |line: &Line<'_>| line.text.contains(colon) || line.text.ends_with([':', '|', '>']);
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
    let explained = Explained::new(here, format!("this is not valid YAML: {info}"));
    match info {
        _ if info.contains("block") && info.contains("did not find expected") => {
            explained.help("check the indentation here and of the lines above")
        }
        _ if info.contains("flow") && info.contains("expected") => explained
            .help("inside braces and brackets, quote text that holds `{`, `}`, `[`, `]` or `,`, such as `${NAME}`"),
        _ if info.contains("tab") => explained.help("use spaces"),
        _ => explained,
    }
}
