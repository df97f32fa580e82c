#![allow(clippy::unwrap_used)]

mod directory;
mod sealing;
