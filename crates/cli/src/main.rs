//! The `boatyard` binary: the controller with the API, the ingress, the git worker and the command line.
//!
//! In reading order:
//! - [`args`]: commands and flags; [`completion`]: scripts for shells; [`exit`]: exit codes;
//! - [`serve`], [`ingress`], [`down`]: commands for this host; [`spec`]: for app specs; [`mod@detect`] and [`dev`]: for
//!   directories; [`apps`], [`certificates`], [`registries`], [`sources`], [`tokens`], [`webhooks`], [`panel`] and [`unknown`]: over the API; [`auth`]: logs in;
//! - [`config`]: the saved servers; [`discover`], [`tls`] and [`client`]: find the API and send requests to it;
//! - [`watch`]: follows a deployment; [`columns`], [`table`], [`output`]: print results; [`secret_file`]: reads tokens and keys.

mod apps;
mod args;
mod auth;
mod certificates;
mod client;
mod columns;
mod completion;
mod config;
mod detect;
mod dev;
mod discover;
mod down;
mod exit;
mod hidden_input;
mod ingress;
mod output;
mod panel;
mod registries;
mod repeat_filter;
mod secret_file;
mod serve;
mod sources;
mod spec;
mod table;
mod tls;
mod tokens;
mod trust;
mod unknown;
mod watch;
mod webhooks;

use std::process::ExitCode;

use crate::args::{Arguments, Command};
use crate::exit::Exit;

fn main() -> ExitCode {
    // First of all: the git worker restricts its whole process, and must have no threads and read no environment.
    if std::env::args_os().nth(1).is_some_and(|name| name == "source-worker") {
        return source::run_worker(std::io::stdin(), std::io::stdout(), ::detect::is_wanted);
    }
    let arguments = Arguments::read();
    let mut inherited = None;
    if let Command::Ingress { replace } = arguments.command {
        if replace {
            // Before the capabilities are gone: they may be needed to copy the sockets of an ingress that cannot send them.
            inherited = match ingress::take_over(&arguments) {
                Ok(inherited) => inherited,
                Err(error) => {
                    output::error(&exit::chain(&error));
                    return Exit::Failed.into();
                }
            };
        }
        // Capabilities belong to threads, so drop them while there is only one thread.
        ingress::confine(&arguments);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start: {error}"));
            return Exit::Failed.into();
        }
    };
    let result = runtime.block_on(run(arguments, inherited));
    // Tasks that are still running must not delay the exit.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(error) => {
            output::error(&exit::chain(&error));
            Exit::of(&error).into()
        }
    }
}

async fn run(arguments: Arguments, inherited: Option<::ingress::Inherited>) -> anyhow::Result<Exit> {
    let Arguments { connection, command } = arguments;
    match command {
        Command::Serve(options) => serve::run(*options, connection.data_dir()?).await,
        Command::Ingress { .. } => ingress::run(connection.data_dir()?, inherited).await,
        Command::Down(options) => down::down(options, &connection).await,
        Command::Uninstall(options) => down::uninstall(options, connection.data_dir()?).await,
        Command::Auth(command) => auth::run(command, &connection).await,
        Command::Apps(command) => apps::run(command, &connection).await,
        Command::Spec(command) => spec::run(command, &connection).await,
        Command::Detect(options) => detect::run(options, &connection).await,
        Command::Dev(options) => dev::run(options, &connection).await,
        Command::Certificates(command) => certificates::run(command, &connection).await,
        Command::Trust { remove, only } => trust::run(remove, only, &connection.data_dir()?),
        Command::Registries(command) => registries::run(command, &connection).await,
        Command::Sources(command) => sources::run(command, &connection).await,
        Command::Tokens(command) => tokens::run(command, &connection).await,
        Command::Webhooks(command) => webhooks::run(command, &connection).await,
        Command::Panel { no_open } => panel::run(no_open, &connection).await,
        Command::Audit(options) => tokens::audit(options, &connection).await,
        Command::Unknown(command) => unknown::run(command, &connection).await,
        Command::Completion { shell } => Ok(completion::run(shell)),
    }
}
