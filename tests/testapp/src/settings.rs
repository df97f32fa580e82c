//! Settings from the environment. A value that cannot be parsed ends the program, so that no test passes with a typo.

use std::str::FromStr;
use std::time::Duration;

/// All settings, with their defaults. An empty variable counts as unset.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `PORT`, default 8080.
    pub port: u16,
    /// `NAME`, default `testapp`.
    pub name: String,
    /// `VERSION`, default `1`.
    pub version: String,
    /// `PRINT`: the first line of output.
    pub print: Option<String>,
    /// `START_DELAY_MS`: time before it listens.
    pub start_delay: Duration,
    /// `NO_LISTEN=1`: runs without listening.
    pub no_listen: bool,
    /// `EXIT_AFTER_MS`: ends this long after its start delay, with `EXIT_CODE` (default 1).
    pub exit_after: Option<(Duration, i32)>,
    /// `IDLE_CLOSE_MS`: closes a connection after this long without a request.
    pub idle_close: Option<Duration>,
    /// `HTTP2=1`: speaks HTTP/2 without TLS in place of HTTP/1.1.
    pub http2: bool,
    /// `JOB_PRINT`: the line that a job prints.
    pub job_print: Option<String>,
    /// `JOB_EXIT`: the exit code of a job, default 0.
    pub job_exit: u8,
}

impl Settings {
    pub fn from_env() -> Result<Settings, String> {
        Settings::from(|key| std::env::var(key).ok())
    }

    fn from(variable: impl Fn(&str) -> Option<String>) -> Result<Settings, String> {
        let text = |key: &str| variable(key).filter(|value| !value.is_empty());
        let millis = |key| Ok::<_, String>(parse(key, text(key))?.map(Duration::from_millis));
        let exit_code = parse("EXIT_CODE", text("EXIT_CODE"))?.unwrap_or(1);
        Ok(Settings {
            port: parse("PORT", text("PORT"))?.unwrap_or(8080),
            name: text("NAME").unwrap_or_else(|| "testapp".into()),
            version: text("VERSION").unwrap_or_else(|| "1".into()),
            print: text("PRINT"),
            start_delay: millis("START_DELAY_MS")?.unwrap_or_default(),
            no_listen: text("NO_LISTEN").is_some_and(|value| value == "1"),
            exit_after: millis("EXIT_AFTER_MS")?.map(|after| (after, exit_code)),
            idle_close: millis("IDLE_CLOSE_MS")?,
            http2: text("HTTP2").is_some_and(|value| value == "1"),
            job_print: text("JOB_PRINT"),
            job_exit: parse("JOB_EXIT", text("JOB_EXIT"))?.unwrap_or(0),
        })
    }
}

fn parse<N: FromStr>(key: &str, value: Option<String>) -> Result<Option<N>, String> {
    let Some(value) = value else { return Ok(None) };
    value.parse().map(Some).map_err(|_| format!("{key} is {value:?}, which is not a number in its range"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings(set: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::from(|key| set.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_any_variable_it_serves_on_port_8080() {
        let defaults = settings(&[("VERSION", "")]).unwrap();
        assert_eq!((defaults.port, defaults.name.as_str(), defaults.version.as_str()), (8080, "testapp", "1"));
        assert_eq!((defaults.no_listen, defaults.exit_after, defaults.idle_close), (false, None, None));
    }

    #[test]
    fn times_are_in_milliseconds() {
        let set = [("IDLE_CLOSE_MS", "2000"), ("EXIT_AFTER_MS", "50"), ("EXIT_CODE", "7")];
        let settings = settings(&set).unwrap();
        assert_eq!(settings.idle_close, Some(Duration::from_secs(2)));
        assert_eq!(settings.exit_after, Some((Duration::from_millis(50), 7)));
    }

    #[test]
    fn a_value_that_cannot_be_parsed_is_named() {
        assert_eq!(
            settings(&[("PORT", "80800")]).unwrap_err(),
            "PORT is \"80800\", which is not a number in its range"
        );
        assert!(settings(&[("JOB_EXIT", "-1")]).unwrap_err().contains("JOB_EXIT"));
    }
}
