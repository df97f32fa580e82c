//! Commands about tokens of the API, and the audit trail.

use clap::{Args, Subcommand, ValueEnum};
use controller::view::Expiry;

use super::Output;

#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// Create a token for the API and print it. It cannot be shown again
    #[command(visible_alias = "c")]
    Create {
        /// Name, which deployments and the audit trail show
        name: String,
        /// What the token may do
        #[arg(long, default_value = "read", value_name = "SCOPE")]
        scope: Scope,
        /// Name or id of the only app that the token may use [default: all apps]
        #[arg(long, value_name = "APP")]
        app: Option<String>,
        /// Lifetime such as 90d, 12h, 30m or 45s, time such as 2027-01-31T00:00:00Z, or never
        #[arg(long, default_value = "90d", value_name = "WHEN", value_parser = expiry)]
        expires: String,
        #[command(flatten)]
        output: Output,
    },
    /// List tokens, without the tokens themselves
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Revoke a token. Its log streams and consoles end
    #[command(visible_aliases = ["delete", "rm"])]
    Revoke {
        /// Name or id
        // Not named `token`, which is the id of the global flag.
        #[arg(value_name = "TOKEN")]
        revoked: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scope {
    /// Look at apps, deployments and logs
    Read,
    /// Also create, change and delete apps, open consoles and read database passwords
    Write,
}

impl Scope {
    pub fn api_name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

#[derive(Debug, Args)]
pub struct Audit {
    /// Only requests about this app, by name or id. It may have been deleted
    pub app: Option<String>,
    /// Only the newest N requests
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    #[command(flatten)]
    pub output: Output,
}

/// Checks the text and keeps it: the server computes the time by its clock.
fn expiry(text: &str) -> Result<String, String> {
    text.parse::<Expiry>().map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    fn command(line: &str) -> Result<Command, String> {
        let words = ["boatyard"].into_iter().chain(line.split(' '));
        Arguments::try_parse_from(words).map(|it| it.command).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_reads_all_apps_for_90_days_by_default() {
        let Ok(Command::Tokens(Tokens::Create { name, scope, app, expires, .. })) = command("tokens create ci") else {
            panic!("not create")
        };
        assert_eq!((name.as_str(), scope, app, expires.as_str()), ("ci", Scope::Read, None, "90d"));
        let line = "token create ci --scope write --app shop --expires 2027-01-31T00:00:00Z --format Token --no-header";
        let Ok(Command::Tokens(Tokens::Create { scope, app, expires, output, .. })) = command(line) else {
            panic!("not create")
        };
        assert_eq!((scope, app.as_deref(), expires.as_str()), (Scope::Write, Some("shop"), "2027-01-31T00:00:00Z"));
        assert!(output.no_header && output.format == ["Token"]);
    }

    #[test]
    fn a_wrong_scope_or_lifetime_is_wrong_usage() {
        assert!(command("tokens create ci --scope admin").is_err_and(|error| error.contains("read, write")));
        assert!(command("tokens create ci --expires soon").is_err_and(|error| error.contains("90d, 12h")));
        assert!(command("tokens create").is_err());
        assert!(command("tokens revoke").is_err());
    }

    #[test]
    fn the_token_to_revoke_is_not_the_token_that_the_command_sends() {
        let arguments = Arguments::try_parse_from(["boatyard", "tokens", "revoke", "ci", "--token", "secret"]);
        let arguments = arguments.expect("accepted");
        assert_eq!(arguments.connection.token.as_deref(), Some("secret"));
        assert!(matches!(arguments.command, Command::Tokens(Tokens::Revoke { revoked, .. }) if revoked == "ci"));
    }

    #[test]
    fn the_audit_trail_is_limited_to_an_app_and_a_number_of_requests() {
        let Ok(Command::Audit(Audit { app, limit, .. })) = command("audit") else { panic!("not audit") };
        assert_eq!((app, limit), (None, 50));
        let Ok(Command::Audit(Audit { app, limit, .. })) = command("audit shop --limit 3") else { panic!("not audit") };
        assert_eq!((app.as_deref(), limit), (Some("shop"), 3));
        assert!(command("audit --limit 0").is_err());
    }
}
