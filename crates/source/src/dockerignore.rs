//! `.dockerignore` as Docker interprets it, which differs from `.gitignore`.
//!
//! Patterns are rooted at the context, the last matching pattern wins, a pattern that matches a directory covers
//! everything below it, and `!` includes files again even in an excluded directory. The rules follow moby's
//! `patternmatcher`.

/// A parsed `.dockerignore`. An empty one excludes nothing.
#[derive(Clone, Debug, Default)]
pub struct Dockerignore {
    patterns: Vec<Pattern>,
}

/// A line that Docker refuses too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {pattern:?} is not a valid pattern")]
pub struct InvalidPattern {
    /// The line, counted from 1.
    pub line: usize,
    /// The pattern as written.
    pub pattern: String,
}

#[derive(Clone, Debug)]
struct Pattern {
    negated: bool,
    tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
enum Token {
    Char(char),
    /// `?`: one character of a name.
    AnyInName,
    /// `*`: any run of characters of a name.
    RunInName,
    /// `**/`: nothing, or anything that ends with a slash. Continues after [`Token::InDirectories`].
    Directories,
    /// The inside of `**/`: consumes any character, and may continue after a slash.
    InDirectories,
    /// `**` at the end: anything at all.
    Rest,
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

/// Which patterns matched a directory or one of its parents. A walk passes it down, so that parents are not matched
/// again.
#[derive(Clone, Debug)]
pub(crate) struct Matches(Vec<bool>);

impl Dockerignore {
    /// Parses the file's text. Errors: [`InvalidPattern`] for a lone `!` and for unclosed brackets.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for (index, line) in text.lines().enumerate() {
            // A comment starts in the first column; " #x" is a pattern.
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let bad = || InvalidPattern { line: index + 1, pattern: line.trim().to_owned() };
            patterns.push(Pattern::parse(line.trim()).ok_or_else(bad)?);
        }
        Ok(Self { patterns })
    }

    /// Whether the file or directory at `path` (relative to the context, parts joined by `/`) is excluded.
    pub fn excludes(&self, path: &str) -> bool {
        let mut parents = self.root();
        for (at, _) in path.match_indices('/') {
            parents = self.matches(&path[..at], &parents);
        }
        self.decides(&self.matches(path, &parents))
    }

    /// Whether a pattern includes files again, so that excluded directories must be searched too.
    pub(crate) fn has_negations(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.negated)
    }

    /// The state of the context's root.
    pub(crate) fn root(&self) -> Matches {
        Matches(vec![false; self.patterns.len()])
    }

    /// The state of `path`, given that of its parent directory.
    pub(crate) fn matches(&self, path: &str, parent: &Matches) -> Matches {
        let one = |(pattern, parent): (&Pattern, &bool)| *parent || pattern.matches(path);
        Matches(self.patterns.iter().zip(&parent.0).map(one).collect())
    }

    /// Whether a state means excluded: the last matching pattern wins.
    pub(crate) fn decides(&self, matches: &Matches) -> bool {
        let last = self.patterns.iter().zip(&matches.0).rev().find(|(_, matched)| **matched);
        last.is_some_and(|(pattern, _)| !pattern.negated)
    }
}

impl Pattern {
    fn parse(line: &str) -> Option<Self> {
        let (negated, body) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, line),
        };
        if body.is_empty() {
            return None;
        }
        Some(Self { negated, tokens: tokens(&clean(body))? })
    }

    /// Simulates all possible matches at once, so that no pattern takes more than (length of pattern) × (length of
    /// path) steps.
    fn matches(&self, path: &str) -> bool {
        let end = self.tokens.len();
        let mut active = vec![false; end + 1];
        self.enter(&mut active, 0);
        for c in path.chars() {
            let mut next = vec![false; end + 1];
            for (at, token) in self.tokens.iter().enumerate().filter(|(at, _)| active[*at]) {
                match token {
                    Token::Char(wanted) if *wanted == c => self.enter(&mut next, at + 1),
                    Token::AnyInName if c != '/' => self.enter(&mut next, at + 1),
                    Token::RunInName if c != '/' => self.enter(&mut next, at),
                    Token::Rest => self.enter(&mut next, at),
                    Token::InDirectories => {
                        next[at] = true;
                        if c == '/' {
                            self.enter(&mut next, at + 1);
                        }
                    }
                    Token::Class { negated, ranges } => {
                        if ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated {
                            self.enter(&mut next, at + 1);
                        }
                    }
                    Token::Char(_) | Token::AnyInName | Token::RunInName | Token::Directories => {}
                }
            }
            active = next;
        }
        active[end]
    }

    /// Marks `at` and every position that is reachable from it without consuming a character.
    fn enter(&self, active: &mut [bool], at: usize) {
        active[at] = true;
        match self.tokens.get(at) {
            Some(Token::RunInName | Token::Rest) => self.enter(active, at + 1),
            Some(Token::Directories) => {
                active[at + 1] = true;
                self.enter(active, at + 2);
            }
            _ => {}
        }
    }
}

/// Like `filepath.Clean`, without the leading slash: `/a//b/./c/` is `a/b/c`, and `..` removes the part before it.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // `..` at the root of an absolute pattern stays at the root; in a relative pattern it is kept and matches
            // nothing.
            ".." if pattern.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

fn tokens(pattern: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                match chars.peek() {
                    None => tokens.push(Token::Rest),
                    Some(_) => tokens.extend([Token::Directories, Token::InDirectories]),
                }
            }
            '*' => tokens.push(Token::RunInName),
            '?' => tokens.push(Token::AnyInName),
            '[' => tokens.push(class(&mut chars)?),
            '\\' => tokens.push(Token::Char(chars.next()?)),
            _ => tokens.push(Token::Char(c)),
        }
    }
    Some(tokens)
}

/// Parses a class after its opening bracket: `a-z]`, `^a-z]`, with `\` before a literal character.
fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next()? {
            ']' if ranges.is_empty() => return None,
            ']' => return Some(Token::Class { negated, ranges }),
            '\\' => chars.next()?,
            '-' => return None,
            c => c,
        };
        let mut high = low;
        if chars.next_if_eq(&'-').is_some() {
            high = match chars.next()? {
                '\\' => chars.next()?,
                ']' | '-' => return None,
                c => c,
            };
        }
        ranges.push((low, high));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Each row: the file, a path that it excludes, a path that it includes; empty means no check.
    #[test]
    fn patterns_match_as_in_docker() {
        let table = [
            ("node_modules", "node_modules", "a/node_modules"),
            ("node_modules", "node_modules/x/y.js", "node_modules2"),
            ("/node_modules/", "node_modules/x", "a/node_modules/x"),
            ("./build//out/.", "build/out/x", "build/x"),
            ("*.log", "a.log", "a/b.log"),
            ("**/*.log", "a.log", "a.logs"),
            ("**/*.log", "a/b/c.log", "a/log"),
            ("**/node_modules", "node_modules", "my_node_modules"),
            ("**/node_modules", "a/b/node_modules/c", "a/node_modules_2"),
            ("a/**", "a/b", "a"),
            ("a/**", "a/b/c", "b/a/c"),
            ("a/**/c", "a/c", "a/cc"),
            ("a/**/c", "a/x/y/c", "a/xc"),
            ("**", "anything/at/all", ""),
            ("*", "top", ""),
            ("*", "dir/below", ""),
            ("*/temp*", "a/temporary", "temporary"),
            ("*/*/temp*", "a/b/temp", "a/temp"),
            ("temp?", "tempa", "temp"),
            ("temp?", "tempb/x", "temp/x"),
            ("[a-c].txt", "b.txt", "d.txt"),
            ("[^a-c].txt", "d.txt", "b.txt"),
            ("[\\]].txt", "].txt", "a.txt"),
            ("a\\*b", "a*b", "aab"),
            ("# comment\nx", "x", "# comment"),
            (" #x", "#x", "x"),
            ("  spaced  ", "spaced", "spaced  "),
            ("\u{feff}bom", "bom", ""),
            ("a\r\nb", "a", "a\r"),
            ("x/../y", "y", "x"),
            ("/../y", "y", "../y"),
            (".", "", "a"),
            ("*.md\n!README.md", "a.md", "README.md"),
            ("!README.md\n*.md", "README.md", ""),
            ("*.md\n!README*.md\nREADME-secret.md", "README-secret.md", "README-x.md"),
            ("dir\n!dir/keep", "dir/drop", "dir/keep"),
            ("dir\n!dir/sub", "dir/x", "dir/sub/deep/file"),
            ("*\n!src", "other", "src/main.rs"),
            ("**\n!**/*.go", "a/b.c", "a/b.go"),
            ("! spaced", "", "spaced"),
            ("docs\n! docs/a", "docs/b", "docs/a"),
            ("über", "über/x", "uber"),
        ];
        for (text, left_out, sent) in table {
            let ignore = Dockerignore::parse(text).unwrap();
            assert!(left_out.is_empty() || ignore.excludes(left_out), "{text:?} excludes {left_out:?}");
            assert!(sent.is_empty() || !ignore.excludes(sent), "{text:?} includes {sent:?}");
        }
    }

    #[test]
    fn lines_that_docker_refuses_are_refused_with_their_number() {
        for text in ["ok\n!", "ok\n[a", "ok\n[]", "ok\n[a-]", "ok\nx\\", "ok\n[-a]"] {
            assert_eq!(Dockerignore::parse(text).unwrap_err().line, 2, "{text:?}");
        }
    }

    #[test]
    fn a_pattern_designed_to_backtrack_is_matched_quickly() {
        let ignore = Dockerignore::parse(&format!("{}b", "*a**/*".repeat(50))).unwrap();
        assert!(!ignore.excludes(&"a".repeat(500)));
    }
}
