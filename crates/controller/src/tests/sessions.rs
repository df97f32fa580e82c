//! Sessions of the panel.

use std::time::Duration;

use futures::FutureExt;
use rollout::time::Timestamp;
use store::records::{Change, Session};
use tokio::time::sleep;

use super::cluster::{TestCluster, caller};
use super::simulation::simulate;
use crate::sessions::MAX_PER_TOKEN;
use crate::view::{CreatedSession, Expiry, NewToken, PageQuery, SessionView, TokenScope};
use crate::{Control, ControlError, Controller, clock};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// The hash of the admin token.
fn admin(cluster: &TestCluster) -> String {
    cluster.controller().token_hash()
}

/// The hash of a new token with this name.
async fn token(cluster: &TestCluster, name: &str, expires: Expiry) -> String {
    let token = NewToken { name: name.into(), scope: TokenScope::Read, app: None, expires };
    let created = cluster.controller().create_token(token, &caller()).await.unwrap();
    Controller::hash_token(&created.token)
}

async fn sign_in(cluster: &TestCluster, token_hash: &str) -> CreatedSession {
    cluster.controller().create_session(token_hash, Some([127, 0, 0, 1].into())).await.unwrap()
}

fn find(cluster: &TestCluster, session: &CreatedSession) -> Option<SessionView> {
    cluster.controller().session_by_hash(&Controller::hash_token(&session.secret))
}

#[test]
fn a_session_belongs_to_its_token_and_survives_a_killed_controller() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        let ci = token(&cluster, "ci", Expiry::Never).await;
        let (of_admin, of_ci) = (sign_in(&cluster, &admin(&cluster)).await, sign_in(&cluster, &ci).await);
        for _ in 0..2 {
            assert_eq!(find(&cluster, &of_admin).unwrap().token, None);
            let found = find(&cluster, &of_ci).unwrap();
            assert_eq!((&found.token_hash, found.source), (&ci, Some([127, 0, 0, 1].into())));
            assert_eq!(found.token.unwrap().name, "ci");
            assert!(cluster.controller().session_by_hash(&ci).is_none(), "a token is no session");
            cluster.crash().await;
            cluster.open().await;
        }
        let ids: Vec<_> = cluster.controller().sessions().into_iter().map(|it| it.id).collect();
        assert!(ids.len() == 2 && ids.contains(&of_admin.view.id) && ids.contains(&of_ci.view.id), "{ids:?}");
    });
}

#[test]
fn a_session_that_a_person_ends_stays_ended() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        let (one, other) = (sign_in(&cluster, &admin(&cluster)).await, sign_in(&cluster, &admin(&cluster)).await);
        assert_ne!(one.secret, other.secret);
        let controller = cluster.controller().clone();
        let mut ended = Box::pin(controller.session_ended(&one.view.id));
        assert!((&mut ended).now_or_never().is_none());
        controller.end_session(&other.view.id).await.unwrap();
        assert!((&mut ended).now_or_never().is_none(), "another session ended");
        assert_eq!(controller.end_session(&one.view.id).await.unwrap().id, one.view.id);
        ended.await;
        assert!(matches!(controller.end_session(&one.view.id).await, Err(ControlError::NotFound(_))));
        drop(controller);
        cluster.crash().await;
        cluster.open().await;
        assert!(find(&cluster, &one).is_none() && cluster.controller().sessions().is_empty());
    });
}

#[test]
fn a_session_ends_with_its_token() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let revoked = sign_in(&cluster, &token(&cluster, "revoked", Expiry::Never).await).await;
        let expiring = sign_in(&cluster, &token(&cluster, "expiring", Expiry::After(HOUR)).await).await;
        let controller = cluster.controller();
        let mut ends = [&revoked, &expiring].map(|it| Box::pin(controller.session_ended(&it.view.id)));
        assert!(ends.iter_mut().all(|it| it.now_or_never().is_none()));
        controller.revoke_token("revoked", &caller()).await.unwrap();
        let [of_revoked, of_expiring] = ends;
        of_revoked.await;
        assert!(find(&cluster, &revoked).is_none() && find(&cluster, &expiring).is_some());
        of_expiring.await;
        assert!(find(&cluster, &expiring).is_none() && controller.sessions().is_empty());
    });
}

#[test]
fn a_session_of_the_admin_token_ends_when_that_token_changes() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        let session = sign_in(&cluster, &admin(&cluster)).await;
        cluster.crash().await;
        cluster.replace_admin_token();
        cluster.open().await;
        assert!(find(&cluster, &session).is_none());
        cluster.controller().session_ended(&session.view.id).await;
    });
}

#[test]
fn idle_sessions_and_old_ones_have_ended() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        let token_hash = cluster.controller().token_hash();
        cluster.crash().await;
        let ago = |time: Duration| Timestamp(clock::now().0 - u64::try_from(time.as_millis()).unwrap());
        let week = 7 * 24 * HOUR;
        let rows = [
            ("used", week - MINUTE, MINUTE),
            ("idle", 8 * HOUR, 8 * HOUR - MINUTE),
            ("old", week, MINUTE),
            ("older", 8 * HOUR, 8 * HOUR),
        ];
        let row = |(id, created, used): (&str, Duration, Duration)| {
            let (id, hash) = (id.to_owned(), Controller::hash_token(id));
            let (created, used) = (ago(created), ago(used));
            Change::Session(Session { id, hash, token_hash: token_hash.clone(), source: None, created, used })
        };
        cluster.write(rows.map(row).to_vec()).await;
        cluster.open().await;
        let live =
            |cluster: &TestCluster| cluster.controller().sessions().into_iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!(live(&cluster), ["used", "idle"]);
        assert!(cluster.controller().session_by_hash(&Controller::hash_token("old")).is_none());
        cluster.controller().session_ended("used").await;
        cluster.controller().session_ended("idle").await;
        assert!(live(&cluster).is_empty());
    });
}

#[test]
fn uses_are_recorded_every_few_minutes_and_not_after_the_end() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let session = sign_in(&cluster, &admin(&cluster)).await;
        let used = async || cluster.controller().0.shared.store.sessions().await.unwrap().remove(0).used;
        sleep(4 * MINUTE).await;
        find(&cluster, &session).unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(used().await, session.view.created);
        sleep(MINUTE).await;
        let found = find(&cluster, &session).unwrap();
        assert!(found.used > session.view.used && found.expires > session.view.expires);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(used().await, found.used);

        sleep(6 * MINUTE).await;
        find(&cluster, &session).unwrap();
        cluster.controller().end_session(&session.view.id).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(cluster.controller().0.shared.store.sessions().await.unwrap(), []);
    });
}

#[test]
fn one_session_too_many_ends_the_least_recently_used_one_of_that_token() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let other = sign_in(&cluster, &token(&cluster, "other", Expiry::Never).await).await;
        let admin = admin(&cluster);
        let (first, second) = (sign_in(&cluster, &admin).await, sign_in(&cluster, &admin).await);
        sleep(6 * MINUTE).await;
        find(&cluster, &first).unwrap();
        for _ in 2..MAX_PER_TOKEN {
            sign_in(&cluster, &admin).await;
        }
        assert!(find(&cluster, &first).is_some() && cluster.controller().sessions().len() == MAX_PER_TOKEN + 1);
        sign_in(&cluster, &admin).await;
        assert!(find(&cluster, &second).is_none() && find(&cluster, &first).is_some());
        let all = cluster.controller().sessions();
        assert!(all.len() == MAX_PER_TOKEN + 1 && all.iter().any(|it| it.id == other.view.id));
        let rows = cluster.controller().0.shared.store.sessions().await.unwrap();
        assert_eq!(rows.len(), all.len());
    });
}

#[test]
fn rows_of_ended_sessions_are_deleted_at_the_next_sign_in() {
    simulate(async {
        let cluster = TestCluster::new().await;
        sign_in(&cluster, &token(&cluster, "ci", Expiry::Never).await).await;
        cluster.controller().revoke_token("ci", &caller()).await.unwrap();
        let newest = sign_in(&cluster, &admin(&cluster)).await;
        let rows = cluster.controller().0.shared.store.sessions().await.unwrap();
        assert_eq!(rows.into_iter().map(|it| it.id).collect::<Vec<_>>(), [newest.view.id]);
    });
}

#[test]
fn a_link_signs_in_once_as_its_token() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let ci = token(&cluster, "ci", Expiry::Never).await;
        let controller = cluster.controller();
        let (used, unused) = (controller.create_sign_in_link(&ci), controller.create_sign_in_link(&ci));
        let session = controller.redeem_sign_in_link(&used, None).await.unwrap();
        assert_eq!(session.view.token.unwrap().name, "ci");
        let again = controller.redeem_sign_in_link(&used, None).await.err().unwrap();
        assert!(matches!(&again, ControlError::NotFound(why) if why.contains("boatyard panel")), "{again}");
        controller.revoke_token("ci", &caller()).await.unwrap();
        assert!(matches!(controller.redeem_sign_in_link(&unused, None).await.err(), Some(ControlError::Conflict(_))));
    });
}

#[test]
fn a_sign_in_is_in_the_audit_trail_without_the_secret_and_needs_a_valid_token() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let session = sign_in(&cluster, &admin(&cluster)).await;
        let rows = cluster.controller().audit(None, PageQuery { page: 1, per_page: 9 }).await.unwrap().items;
        assert_eq!((rows[0].action.as_str(), rows[0].actor.name.as_str()), ("sign in to panel", "admin"));
        assert_eq!((rows.len(), rows[0].source), (1, Some([127, 0, 0, 1].into())));
        assert!(!format!("{rows:?}").contains(&session.secret));
        let stranger = cluster.controller().create_session("unknown", None).await.err().unwrap();
        assert!(matches!(&stranger, ControlError::Conflict(why) if why.contains("another one")), "{stranger}");
    });
}
