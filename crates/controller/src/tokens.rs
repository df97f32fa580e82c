//! Tokens that the holder of the admin token created. All of them are in memory, so that no request waits for the store.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use rand::Rng;
use rollout::time::Timestamp;
use store::records::Token;
use tokio::sync::{Mutex, MutexGuard, watch};
use uuid::Uuid;

use crate::clock;
use crate::error::ControlError;
use crate::view::TokenView;

/// How often a stream checks whether its token has expired. The system clock may be set meanwhile.
const CHECK_EXPIRY_EVERY: Duration = Duration::from_secs(1);
/// Longest name of a token. Our choice.
const MAX_NAME: usize = 64;
/// Longest lifetime that is given as a number. Our choice.
const MAX_DAYS: u64 = 36_500;

/// The tokens on record, by hash. An attacker cannot choose the beginning of a hash, so the time of a lookup reveals
/// nothing about the tokens.
pub(crate) struct Tokens {
    known: watch::Sender<Arc<HashMap<String, Token>>>,
    changing: Mutex<()>,
}

impl Tokens {
    pub fn new(all: Vec<Token>) -> Self {
        let known = all.into_iter().map(|it| (it.hash.clone(), it)).collect();
        Self { known: watch::channel(Arc::new(known)).0, changing: Mutex::new(()) }
    }

    /// Held while a token is created or revoked.
    pub async fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    pub fn by_hash(&self, hash: &str) -> Option<TokenView> {
        self.known.borrow().get(hash).map(view)
    }

    /// All tokens, by name.
    pub fn all(&self) -> Vec<TokenView> {
        let mut all: Vec<_> = self.known.borrow().values().map(view).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    pub fn add(&self, token: Token) {
        self.known.send_modify(|known| drop(Arc::make_mut(known).insert(token.hash.clone(), token)));
    }

    pub fn remove(&self, id: &str) {
        self.known.send_modify(|known| Arc::make_mut(known).retain(|_, it| it.id != id));
    }

    /// Completes when the token is revoked or expires.
    pub async fn ended(&self, id: &str) {
        let mut known = self.known.subscribe();
        loop {
            let token = known.borrow_and_update().values().find(|it| it.id == id).cloned();
            let Some(token) = token.filter(|it| !view(it).is_expired()) else { return };
            let next_check = async {
                match token.expires {
                    Some(at) => tokio::time::sleep(at.since(clock::now()).min(CHECK_EXPIRY_EVERY)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = known.changed() => if changed.is_err() { return },
                () = next_check => {}
            }
        }
    }
}

pub(crate) fn view(token: &Token) -> TokenView {
    TokenView {
        id: token.id.clone(),
        name: token.name.clone(),
        scope: token.scope,
        app: token.app.clone(),
        created: token.created,
        expires: token.expires,
        remaining: token.expires.map(|at| at.since(clock::now())),
    }
}

/// A new token: 256 random bits. It has 71 characters and begins with `do`, because doctl's prompt accepts nothing else.
pub(crate) fn random_token(prefix: &str) -> String {
    let random: [u8; 32] = rand::rng().random();
    format!("{prefix}{}", hex::encode(random))
}

/// Checks the name of a new `kind`: a token or a webhook. Errors: it is empty or too long, has other characters than letters,
/// digits and `-_.`, or could be mistaken for the admin token or for an id.
pub(crate) fn check_name(kind: &str, name: &str) -> Result<(), ControlError> {
    let refused = |why: &str| Err(ControlError::Invalid(format!("a {kind} cannot be named {name:?}: {why}")));
    let is_allowed = |it: char| it.is_ascii_alphanumeric() || "-_.".contains(it);
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_allowed) || name.starts_with(['-', '.', '_']) {
        return refused("a name has 1 to 64 letters, digits, '-', '_' or '.', and begins with a letter or a digit");
    }
    if name.eq_ignore_ascii_case("admin") {
        return refused("the audit trail shows this name for the admin token");
    }
    if Uuid::parse_str(name).is_ok() {
        return refused("it could be mistaken for the id of a token");
    }
    Ok(())
}

/// When a new token expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    Never,
    /// This long after it was created, by the controller's clock.
    After(Duration),
    /// At this time.
    At(Timestamp),
}

impl Default for Expiry {
    /// 90 days, our choice: long enough for a project, short enough that forgotten tokens disappear.
    fn default() -> Self {
        Self::After(Duration::from_secs(90 * 24 * 60 * 60))
    }
}

impl Expiry {
    /// The time for a token that is created `now`; `None`: never. Errors: it has passed.
    pub(crate) fn at(self, now: Timestamp) -> Result<Option<Timestamp>, ControlError> {
        let at = match self {
            Self::Never => return Ok(None),
            Self::After(lifetime) => now.plus(lifetime),
            Self::At(at) => at,
        };
        if at <= now {
            return Err(ControlError::Invalid(format!(
                "the token would expire at {}, which has passed: it is {} on the server",
                clock::rfc3339(at),
                clock::rfc3339(now)
            )));
        }
        Ok(Some(at))
    }
}

impl FromStr for Expiry {
    type Err = String;

    /// Reads `never`, a number with `d`, `h`, `m` or `s`, or a time as in RFC 3339.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "must be never, a lifetime such as 90d, 12h, 30m or 45s, or a time such as 2027-01-31T00:00:00Z, not {text:?}"
            )
        };
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return u64::try_from(at.timestamp_millis()).map(|at| Self::At(Timestamp(at))).map_err(|_| wrong());
        }
        let unit = text.chars().last().ok_or_else(wrong)?;
        let seconds: u64 = match unit {
            'd' => 24 * 60 * 60,
            'h' => 60 * 60,
            'm' => 60,
            's' => 1,
            _ => return Err(wrong()),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || !digits.bytes().all(|it| it.is_ascii_digit()) {
            return Err(wrong());
        }
        let most = MAX_DAYS * 24 * 60 * 60;
        match digits.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)) {
            Some(0) => Err(wrong()),
            Some(long) if long <= most => Ok(Self::After(Duration::from_secs(long))),
            _ => Err(format!("{text} is too long: at most {MAX_DAYS}d, or never")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_read() {
        let after = |seconds| Ok(Expiry::After(Duration::from_secs(seconds)));
        for (text, expected) in [
            ("never", Ok(Expiry::Never)),
            ("90d", after(7_776_000)),
            ("12h", after(43_200)),
            ("30m", after(1_800)),
            ("45s", after(45)),
            ("36500d", after(36_500 * 86_400)),
            ("2027-01-31T00:00:00Z", Ok(Expiry::At(Timestamp(1_801_353_600_000)))),
            ("2027-01-31T01:00:00+01:00", Ok(Expiry::At(Timestamp(1_801_353_600_000)))),
        ] {
            assert_eq!(text.parse::<Expiry>(), expected, "{text}");
        }
        let wrong = [
            "",
            "d",
            "90",
            "0d",
            "-1d",
            "+1d",
            "1.5d",
            "9 0d",
            "1y",
            "90D",
            "1é",
            "1969-01-01T00:00:00Z",
            "2027-01-31",
        ];
        for text in wrong {
            let error = text.parse::<Expiry>().expect_err(text);
            assert!(error.starts_with("must be never") && error.contains(&format!("{text:?}")), "{error}");
        }
        for text in ["36501d", "99999999999999999999s"] {
            assert!(text.parse::<Expiry>().is_err_and(|error| error.contains("at most 36500d")), "{text}");
        }
    }

    #[test]
    fn a_token_cannot_expire_before_it_is_created() {
        let now = Timestamp(1_000_000);
        assert_eq!(Expiry::After(Duration::from_secs(1)).at(now).ok(), Some(Some(Timestamp(1_001_000))));
        assert_eq!(Expiry::Never.at(now).ok(), Some(None));
        assert!(Expiry::At(now).at(now).is_err_and(|error| error.to_string().contains("which has passed")));
    }

    #[test]
    fn names_of_tokens_are_checked() {
        for name in ["ci", "CI-1.a_b", "7", &"x".repeat(64)] {
            assert!(check_name("token", name).is_ok(), "{name}");
        }
        let uuid = "6d2f4c1e-0b7a-4a53-9f0e-3c1f5a9d7b21";
        for name in ["", "-ci", ".ci", "a b", "ä", "a/b", "a\nb", "admin", "Admin", uuid, &"x".repeat(65)] {
            assert!(check_name("token", name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn doctls_prompt_accepts_a_new_token() {
        let (one, other) = (random_token("dob_v1_"), random_token("dob_v1_"));
        assert!(one.len() == 71 && one.starts_with("do"), "{one}");
        assert_ne!(one, other);
    }
}
