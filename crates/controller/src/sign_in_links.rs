//! Links that sign in to the panel, once. They are in memory only: none outlives `serve`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::start::hash_token;
use crate::supervise::lock;
use crate::tokens::random_token;

/// How long an unused link is valid. Our choice: enough to switch to a browser.
pub const LIFETIME: Duration = Duration::from_secs(2 * 60);
/// Most unused links of one token. One more invalidates the oldest one. Our choice.
const MAX_PER_TOKEN: usize = 16;

/// The unused links, by the hash of their code.
#[derive(Default)]
pub(crate) struct SignInLinks(Mutex<HashMap<String, Link>>);

struct Link {
    token_hash: String,
    expires: Instant,
}

impl SignInLinks {
    /// Issues a link for the token with this hash, and returns its code.
    pub fn issue(&self, token_hash: &str) -> String {
        let (now, code) = (Instant::now(), random_token(""));
        let mut unused = lock(&self.0);
        unused.retain(|_, link| link.expires > now);
        let of_token = || unused.iter().filter(|(_, link)| link.token_hash == token_hash);
        if of_token().count() >= MAX_PER_TOKEN
            && let Some(oldest) = of_token().min_by_key(|(_, link)| link.expires).map(|(hash, _)| hash.clone())
        {
            unused.remove(&oldest);
        }
        unused.insert(hash_token(&code), Link { token_hash: token_hash.to_owned(), expires: now + LIFETIME });
        code
    }

    /// Uses up the link with this code, and returns the hash of its token. `None`: it is unknown, used or expired.
    pub fn redeem(&self, code: &str) -> Option<String> {
        let link = lock(&self.0).remove(&hash_token(code))?;
        (link.expires > Instant::now()).then_some(link.token_hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_link_works_once_within_two_minutes() {
        let links = SignInLinks::default();
        let (one, late) = (links.issue("a"), links.issue("b"));
        assert_ne!(one, late);
        assert_eq!(links.redeem("something else"), None);
        tokio::time::advance(LIFETIME - Duration::from_secs(1)).await;
        assert_eq!(links.redeem(&one).as_deref(), Some("a"));
        assert_eq!(links.redeem(&one), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(links.redeem(&late), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_link_too_many_invalidates_the_oldest_one_of_that_token() {
        let links = SignInLinks::default();
        let (other, oldest) = (links.issue("b"), links.issue("a"));
        for _ in 0..MAX_PER_TOKEN {
            tokio::time::advance(Duration::from_secs(1)).await;
            links.issue("a");
        }
        assert_eq!(links.redeem(&oldest), None);
        assert_eq!(links.redeem(&other).as_deref(), Some("b"));
    }
}
