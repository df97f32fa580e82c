//! Why no Dockerfile could be written.

use thiserror::Error;

/// Why no Dockerfile could be written, with the next move.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum Undetected {
    /// No file says which language it is.
    #[error(
        "no language was recognized: there is none of {looked_for}. Add a Dockerfile, add one of \
         these files and set `build_command` and `run_command`, or name an existing `image`"
    )]
    Nothing {
        /// The files that were looked for.
        looked_for: String,
    },
    /// The language is known, but not how the component starts.
    #[error("this is a {language} project, but nothing says how it starts. {help}, or set `run_command`")]
    NoStart {
        /// The language.
        language: String,
        /// What detection looks for, as an imperative sentence without a period.
        help: String,
    },
    /// A file that detection needs cannot be parsed.
    #[error("{file} cannot be read: {why}")]
    Unreadable {
        /// Its path in the source directory.
        file: String,
        /// The parser's message.
        why: String,
    },
    /// The source asks for something that no base image has.
    #[error("{file} asks for {wanted}, but Boatyard has {available}. Change it, or add a Dockerfile")]
    Version {
        /// The file that asks.
        file: String,
        /// What it asks for.
        wanted: String,
        /// What there is.
        available: String,
    },
}
