//! Starts, finds and ends sessions of the panel.

use std::net::IpAddr;
use std::time::Duration;

use store::records::{Actor, Change, Session};
use uuid::Uuid;

use super::Controller;
use crate::clock;
use crate::error::ControlError;
use crate::sessions::{IDLE_LIMIT, LIFETIME, MAX_PER_TOKEN};
use crate::start::hash_token;
use crate::tokens::random_token;
use crate::view::{AuditDraft, CreatedSession, SessionView};

/// How often a page that stays open checks whether its session has expired. The system clock may be set meanwhile.
const CHECK_EXPIRY_EVERY: Duration = Duration::from_secs(1);

impl Controller {
    pub(super) async fn new_session(
        &self,
        token_hash: &str,
        source: Option<IpAddr>,
    ) -> Result<CreatedSession, ControlError> {
        self.in_charge()?;
        let sessions = &self.0.sessions;
        let _changing = sessions.lock().await;
        let (now, secret) = (clock::now(), random_token(""));
        let (id, token_hash) = (Uuid::new_v4().to_string(), token_hash.to_owned());
        let session = Session { id, hash: hash_token(&secret), token_hash, source, created: now, used: now };
        let view = self.session_view(&session).ok_or_else(|| {
            ControlError::Conflict("the token was revoked or has expired meanwhile. Sign in with another one".into())
        })?;
        let actor = match &view.token {
            Some(token) => Actor { token: Some(token.id.clone()), name: token.name.clone() },
            None => Actor { token: None, name: "admin".into() },
        };
        let audit = AuditDraft::new(actor, "sign in to panel", source).accepted();
        let ended = self.sessions_to_delete(&session.token_hash);
        let forget = ended.iter().cloned().map(Change::ForgetSession);
        let changes = [Change::Session(session.clone()), audit].into_iter().chain(forget);
        self.0.shared.store.commit(changes.collect()).await?;
        ended.iter().for_each(|id| sessions.remove(id));
        sessions.add(session);
        Ok(CreatedSession { secret, view })
    }

    pub(super) async fn session_of_link(
        &self,
        code: &str,
        source: Option<IpAddr>,
    ) -> Result<CreatedSession, ControlError> {
        let token_hash = self.0.sign_in_links.redeem(code).ok_or_else(|| {
            let why = "this link was used already, or has expired. To get another one, run: boatyard panel";
            ControlError::NotFound(why.into())
        })?;
        self.new_session(&token_hash, source).await
    }

    /// Ids of the sessions that have ended, and of those that end because this token gets one more.
    fn sessions_to_delete(&self, token_hash: &str) -> Vec<String> {
        let (live, ended): (Vec<_>, Vec<_>) =
            self.0.sessions.all().into_iter().partition(|it| self.session_view(it).is_some());
        let of_token: Vec<_> = live.into_iter().filter(|it| it.token_hash == token_hash).collect();
        let surplus = (of_token.len() + 1).saturating_sub(MAX_PER_TOKEN);
        ended.into_iter().chain(of_token.into_iter().take(surplus)).map(|it| it.id).collect()
    }

    /// Finds a session, and counts this as a use of it.
    pub(super) fn used_session(&self, hash: &str) -> Option<SessionView> {
        let sessions = &self.0.sessions;
        let session = sessions.by_hash(hash)?;
        self.session_view(&session)?;
        if sessions.note_use(hash, clock::now()) {
            tokio::spawn(self.clone().record_use(session.id));
        }
        self.session_view(&sessions.by_hash(hash)?)
    }

    async fn record_use(self, id: String) {
        let _changing = self.0.sessions.lock().await;
        // A session that ended meanwhile must not get a new row.
        let Some(session) = self.0.sessions.by_id(&id) else { return };
        if let Err(error) = self.0.shared.store.commit(vec![Change::Session(session)]).await {
            tracing::warn!(%error, session = id, "the use of a session is not recorded; it may end too early");
        }
    }

    pub(super) fn live_sessions(&self) -> Vec<SessionView> {
        self.0.sessions.all().iter().rev().filter_map(|it| self.session_view(it)).collect()
    }

    pub(super) async fn delete_session(&self, id: &str) -> Result<SessionView, ControlError> {
        self.in_charge()?;
        let sessions = &self.0.sessions;
        let _changing = sessions.lock().await;
        let found = sessions.by_id(id).and_then(|it| self.session_view(&it));
        let found = found.ok_or_else(|| ControlError::NotFound("this session has already ended".into()))?;
        // In memory first: the session ends even if its record cannot be deleted.
        sessions.remove(id);
        self.0.shared.store.commit(vec![Change::ForgetSession(id.to_owned())]).await?;
        Ok(found)
    }

    pub(super) async fn until_session_ended(&self, id: &str) {
        let mut changes = self.0.sessions.changes();
        loop {
            changes.mark_unchanged();
            let Some(session) = self.0.sessions.by_id(id).and_then(|it| self.session_view(&it)) else { return };
            let token_ended = async {
                match &session.token {
                    Some(token) => self.0.tokens.ended(&token.id).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = changes.changed() => {}
                () = token_ended => return,
                () = tokio::time::sleep(session.remaining.min(CHECK_EXPIRY_EVERY)) => {}
            }
        }
    }

    /// The view of a session; `None` if it has ended.
    fn session_view(&self, session: &Session) -> Option<SessionView> {
        let token = self.0.tokens.by_hash(&session.token_hash);
        if token.is_none() && session.token_hash != self.0.token_hash {
            return None;
        }
        let of_session = session.used.plus(IDLE_LIMIT).min(session.created.plus(LIFETIME));
        let expires = token.as_ref().and_then(|it| it.expires).map_or(of_session, |it| it.min(of_session));
        let remaining = expires.since(clock::now());
        (!remaining.is_zero()).then(|| SessionView {
            id: session.id.clone(),
            token_hash: session.token_hash.clone(),
            token,
            source: session.source,
            created: session.created,
            used: session.used,
            expires,
            remaining,
        })
    }
}
