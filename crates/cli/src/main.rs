//! `boatyard`: the one binary. It serves, it is the ingress and the git worker, and it is what people type.
//!
//! In reading order:
//! - [`args`]: everything that can be typed; [`exit`]: what scripts read of the end;
//! - [`serve`], [`down`]: commands about this host; [`spec`]: about app specs; [`apps`]: about apps, over the API;
//! - [`discover`] and [`client`]: where the API is, and how it is asked;
//! - [`watch`]: following a deployment; [`columns`], [`table`], [`say`]: how things are told.

mod apps;
mod args;
mod client;
mod columns;
mod discover;
mod down;
mod exit;
mod ingress;
mod say;
mod serve;
mod spec;
mod table;
mod unknown;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};
use crate::exit::Exit;

fn main() -> ExitCode {
    // Before anything else: the git worker changes its whole process, has no threads and reads no environment.
    if std::env::args_os().nth(1).is_some_and(|name| name == "source-worker") {
        return source::run_worker(std::io::stdin(), std::io::stdout());
    }
    let arguments = Arguments::parse();
    if matches!(arguments.command, Command::Ingress) {
        // Rights belong to threads, so they go before there are others.
        ingress::confine(&arguments);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say::error(&format!("cannot start: {error}"));
            return Exit::Failed.into();
        }
    };
    let ended = runtime.block_on(run(arguments));
    // Nothing that is left may hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            say::error(&exit::chain(&error));
            Exit::of(&error).into()
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<Exit> {
    let Arguments { connection, command } = arguments;
    match command {
        Command::Serve(options) => serve::run(options, connection.data_dir()?).await,
        Command::Ingress => ingress::run(connection.data_dir()?).await,
        Command::Down(options) => down::down(options, &connection).await,
        Command::Uninstall(options) => down::uninstall(options, connection.data_dir()?).await,
        Command::Apps(command) => apps::run(command, &connection).await,
        Command::Spec(command) => spec::run(command, &connection).await,
        Command::Unknown(command) => unknown::run(command, &connection).await,
    }
}
