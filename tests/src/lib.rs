//! What the end-to-end stories and the demo share.

pub mod browser;
pub mod by_hand;
pub mod demo;
pub mod engine;
pub mod git_server;
pub mod http;
pub mod https;
pub mod installation;
pub mod load;
pub mod panel;
pub mod pebble;
pub mod process;
pub mod registry;
pub mod repo;
pub mod site;
pub mod small_disk;
pub mod sshd;

use std::process::ExitCode;

/// The exit code of a program whose work ended like this. Prints the error.
pub fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
