//! Fields that were given and could not be read: what is missing because of them is no problem of its own.

use crate::diagnostic::{Code, Diagnostic};

/// The paths of such fields.
#[derive(Debug, Default)]
pub(crate) struct Misread(Vec<String>);

impl Misread {
    /// Notes what a problem says of the field at its path.
    pub fn note(&mut self, problem: &Diagnostic) {
        if problem.is_error() && problem.code != Code::Missing {
            self.0.push(problem.path.clone());
        }
    }

    /// Notes a field that was given, though not under its name.
    pub fn note_field(&mut self, path: String) {
        self.0.push(path);
    }

    /// Whether a check finds this only because something could not be read.
    pub fn explains(&self, found: &Diagnostic) -> bool {
        let path = found.path.as_str();
        match found.code {
            Code::Missing => self.is_within(path),
            Code::NeedsValue => self.is_within(parent(path)),
            Code::RouteClash => {
                let other = found.related.as_ref().map_or("", |related| related.path.as_str());
                [path, other].iter().any(|path| self.is_within(path.trim_end_matches(".path")))
            }
            Code::Conflict => path.strip_suffix("schedule").is_some_and(|job| self.is_within(&format!("{job}kind"))),
            // Nothing is asked of a path that could not be read.
            Code::Doubtful if [".match.path", ".match.authority"].iter().any(|end| path.ends_with(end)) => {
                self.is_within(path)
            }
            // Who gets which path is guessed for components without routes.
            Code::Doubtful if is_component(path) => {
                self.is_within("ingress") || self.0.iter().any(|misread| misread.contains(".routes"))
            }
            _ => false,
        }
    }

    /// Whether the field at `path`, or something in it, could not be read.
    pub fn is_within(&self, path: &str) -> bool {
        let is_below = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        self.0.iter().any(|misread| misread.strip_prefix(path).is_some_and(is_below))
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(parent, _)| parent)
}

/// `services[0]`, and nothing behind it.
fn is_component(path: &str) -> bool {
    path.ends_with(']') && !path.contains('.')
}
