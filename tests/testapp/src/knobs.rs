//! What the environment asks for. A value that cannot be read ends the program: a test with a misspelt number must not pass.

use std::process::exit;
use std::thread;
use std::time::Duration;

/// What the program is today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Serve,
    Work,
    Job,
}

impl Mode {
    /// The mode with this name; `Serve` without one.
    pub fn named(name: Option<&str>) -> Result<Mode, String> {
        match name {
            None | Some("serve") => Ok(Mode::Serve),
            Some("work") => Ok(Mode::Work),
            Some("job") => Ok(Mode::Job),
            Some(other) => Err(format!("no mode is called {other:?}; there are serve, work and job")),
        }
    }
}

/// Every knob, with what it is when nobody sets it.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// `PORT`, 8080.
    pub port: u16,
    /// `NAME`, `testapp`.
    pub name: String,
    /// `VERSION`, `1`.
    pub version: String,
    /// `PRINT`: a line printed first of all.
    pub print: Option<String>,
    /// `START_DELAY_MS`: time before it listens.
    pub start_delay: Duration,
    /// `NEVER_READY=1`: listens, but `/health` is 503 for ever.
    pub never_ready: bool,
    /// `NO_LISTEN=1`: runs, and accepts no connection.
    pub no_listen: bool,
    /// `EXIT_AFTER_MS`: ends by itself, this long after its start delay, with `EXIT_CODE` (1).
    pub exit_after: Option<(Duration, i32)>,
    /// `IDLE_CLOSE_MS`: closes a kept-alive connection on which no request came for so long.
    pub idle_close: Option<Duration>,
    /// `IGNORE_TERM=1`: says that TERM came and carries on.
    pub ignore_term: bool,
    /// `LOG_EVERY_MS`: prints a numbered line this often.
    pub log_every: Option<Duration>,
    pub job: Job,
}

/// What `testapp job` does.
#[derive(Clone, Debug)]
pub struct Job {
    /// `JOB_EXIT`, 0.
    pub exit: i32,
    /// `JOB_SECONDS`, 0; fractions are fine.
    pub duration: Duration,
    /// `JOB_PRINT`: a line printed at its start.
    pub print: Option<String>,
}

impl Knobs {
    pub fn from_env() -> Result<Knobs, String> {
        Knobs::read(|key| std::env::var(key).ok())
    }

    /// Reads the knobs from any set of variables. One that is empty counts as absent.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Knobs, String> {
        let text = |key: &str| variable(key).filter(|value| !value.is_empty());
        let flag = |key: &str| text(key).is_some_and(|value| value == "1" || value == "true");
        let millis = |key: &str| number(key, text(key)).map(|value| value.map(Duration::from_millis));
        Ok(Knobs {
            port: number("PORT", text("PORT"))?.unwrap_or(8080),
            name: text("NAME").unwrap_or_else(|| "testapp".into()),
            version: text("VERSION").unwrap_or_else(|| "1".into()),
            print: text("PRINT"),
            start_delay: millis("START_DELAY_MS")?.unwrap_or_default(),
            never_ready: flag("NEVER_READY"),
            no_listen: flag("NO_LISTEN"),
            exit_after: {
                let code = number("EXIT_CODE", text("EXIT_CODE"))?.unwrap_or(1);
                millis("EXIT_AFTER_MS")?.map(|after| (after, code))
            },
            idle_close: millis("IDLE_CLOSE_MS")?.filter(|time| !time.is_zero()),
            ignore_term: flag("IGNORE_TERM"),
            log_every: millis("LOG_EVERY_MS")?.filter(|time| !time.is_zero()),
            job: Job {
                exit: number("JOB_EXIT", text("JOB_EXIT"))?.unwrap_or(0),
                duration: seconds("JOB_SECONDS", text("JOB_SECONDS"))?,
                print: text("JOB_PRINT"),
            },
        })
    }

    /// Arranges the end that `EXIT_AFTER_MS` asks for.
    pub fn exit_in_time(&self) {
        let Some((after, code)) = self.exit_after else { return };
        thread::spawn(move || {
            thread::sleep(after);
            println!("ends by itself with {code}");
            exit(code);
        });
    }
}

fn number<N: std::str::FromStr>(key: &str, value: Option<String>) -> Result<Option<N>, String> {
    let Some(value) = value else { return Ok(None) };
    value.parse().map(Some).map_err(|_| format!("{key} is {value:?}, which is no number in its range"))
}

fn seconds(key: &str, value: Option<String>) -> Result<Duration, String> {
    let seconds: f64 = number(key, value)?.unwrap_or(0.0);
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{key} is {seconds}, which is no length of time"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn knobs(set: &[(&str, &str)]) -> Result<Knobs, String> {
        Knobs::read(|key| set.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_any_variable_it_is_a_plain_server_on_8080() {
        let knobs = knobs(&[]).unwrap();
        assert_eq!((knobs.port, knobs.name.as_str(), knobs.version.as_str()), (8080, "testapp", "1"));
        assert!(!knobs.never_ready && !knobs.no_listen && !knobs.ignore_term);
        assert_eq!((knobs.exit_after, knobs.idle_close, knobs.job.exit), (None, None, 0));
    }

    #[test]
    fn every_number_is_read_in_its_unit() {
        let set = [("IDLE_CLOSE_MS", "2000"), ("EXIT_AFTER_MS", "50"), ("EXIT_CODE", "7"), ("JOB_SECONDS", "0.25")];
        let knobs = knobs(&set).unwrap();
        assert_eq!(knobs.idle_close, Some(Duration::from_secs(2)));
        assert_eq!(knobs.exit_after, Some((Duration::from_millis(50), 7)));
        assert_eq!(knobs.job.duration, Duration::from_millis(250));
    }

    #[test]
    fn a_number_that_cannot_be_read_is_named() {
        assert_eq!(knobs(&[("PORT", "80800")]).unwrap_err(), "PORT is \"80800\", which is no number in its range");
        assert!(knobs(&[("JOB_SECONDS", "-1")]).unwrap_err().contains("JOB_SECONDS"));
    }

    #[test]
    fn a_mode_nobody_knows_is_refused() {
        assert_eq!(Mode::named(None), Ok(Mode::Serve));
        assert_eq!(Mode::named(Some("job")), Ok(Mode::Job));
        assert!(Mode::named(Some("jobs")).is_err());
    }
}
