//! The lines of a text that is no YAML.

/// A line, with its first byte.
#[derive(Clone, Copy)]
pub(super) struct Line<'t> {
    pub start: usize,
    pub text: &'t str,
}

impl<'t> Line<'t> {
    pub fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    pub fn is_blank(&self) -> bool {
        let content = self.text.trim_start();
        content.is_empty() || content.starts_with('#')
    }

    /// The byte of the `:` behind its key.
    pub fn colon(&self) -> Option<usize> {
        let content = self.content();
        Some(content.start + key(content.text)?.len())
    }

    /// Whether it begins with the dash of an item.
    pub fn is_item(&self) -> bool {
        self.text.trim_start().starts_with("- ")
    }

    /// The byte of a `:` behind a key and glued to its value: `http_port:80`. The `:` of an address is none.
    pub fn glued_colon(&self) -> Option<usize> {
        let colon = self.colon()?;
        let value = &self.text[colon + 1 - self.start..];
        (!value.is_empty() && !value.starts_with([' ', '\t']) && !value.starts_with("//")).then_some(colon)
    }

    /// What stands behind the indentation and the dashes of a list, with its first byte.
    pub fn content(&self) -> Line<'t> {
        let mut text = self.text.trim_start();
        while let Some(rest) = text.strip_prefix("- ") {
            text = rest.trim_start();
        }
        Line { start: self.start + self.text.len() - text.len(), text }
    }
}

pub(super) fn lines(body: &str) -> impl Iterator<Item = Line<'_>> {
    body.split_inclusive('\n').scan(0, |at, text| {
        let start = std::mem::replace(at, *at + text.len());
        Some(Line { start, text: text.trim_end() })
    })
}

/// The lines around the place where the parser stopped.
pub(super) struct Lines<'t> {
    pub all: Vec<Line<'t>>,
    /// The line of the place.
    pub stop: usize,
}

impl<'t> Lines<'t> {
    pub fn around(body: &'t str, at: usize) -> Lines<'t> {
        let all: Vec<Line<'t>> = lines(body).collect();
        let is_behind_all = at == body.len() && body.ends_with('\n');
        let stop = all.partition_point(|line| line.start <= at).saturating_sub(usize::from(!is_behind_all));
        Lines { all, stop }
    }

    /// From two lines before the place to the one behind it: further away, text of several lines may look like anything.
    pub fn near(&self) -> impl Iterator<Item = Line<'t>> {
        let from = self.stop.saturating_sub(2);
        self.all.iter().copied().skip(from).take(self.stop + 2 - from).filter(|line| !line.is_blank())
    }

    pub fn at(&self) -> Option<Line<'t>> {
        self.all.get(self.stop).copied()
    }

    /// The last line before the place that says something.
    pub fn before(&self) -> Option<Line<'t>> {
        self.upwards().next()
    }

    /// The lines before the place that say something, the nearest first.
    pub fn upwards(&self) -> impl Iterator<Item = Line<'t>> {
        self.all[..self.stop.min(self.all.len())].iter().rev().copied().filter(|line| !line.is_blank())
    }
}

/// The key that a line begins with.
pub(super) fn key(text: &str) -> Option<&str> {
    let key = &text[..text.find(':')?];
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    is_key.then_some(key)
}
