//! Tokens, and the rows that requests leave in the audit trail.

use std::time::Duration;

use futures::FutureExt;
use rollout::deployment::Stage;
use tokio::time::sleep;

use super::cluster::{TestCluster, caller};
use super::simulation::simulate;
use crate::view::{Actor, AuditEntry, CreatedToken, Expiry, NewToken, PageQuery, TokenScope};
use crate::{Control, ControlError, Controller};

const HOUR: Duration = Duration::from_secs(3600);

fn wanted(name: &str) -> NewToken {
    NewToken { name: name.into(), scope: TokenScope::Write, app: None, expires: Expiry::After(HOUR) }
}

async fn create(cluster: &TestCluster, token: NewToken) -> Result<CreatedToken, ControlError> {
    cluster.controller().create_token(token, &caller()).await
}

async fn audit(cluster: &TestCluster) -> Vec<AuditEntry> {
    cluster.controller().audit(None, PageQuery { page: 1, per_page: 200 }).await.unwrap().items
}

#[test]
fn a_token_is_found_by_its_hash_until_it_is_revoked_also_by_the_next_controller() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        let created = create(&cluster, wanted("ci")).await.unwrap();
        let hash = Controller::hash_token(&created.token);
        for _ in 0..2 {
            let found = cluster.controller().token_by_hash(&hash).unwrap();
            assert_eq!((found.id.as_str(), found.name.as_str()), (created.view.id.as_str(), "ci"));
            assert!(!found.is_expired());
            cluster.crash().await;
            cluster.open().await;
        }
        assert_eq!(cluster.controller().tokens().len(), 1);
        assert_eq!(cluster.controller().revoke_token("ci", &caller()).await.unwrap().id, created.view.id);
        for _ in 0..2 {
            assert!(cluster.controller().token_by_hash(&hash).is_none());
            cluster.crash().await;
            cluster.open().await;
        }
        let again = create(&cluster, wanted("ci")).await.unwrap();
        assert_ne!(again.token, created.token);
        assert_eq!(cluster.controller().revoke_token(&again.view.id, &caller()).await.unwrap().name, "ci");
    });
}

#[test]
fn a_token_expires_and_its_streams_end() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let created = create(&cluster, wanted("ci")).await.unwrap();
        let (hash, id) = (Controller::hash_token(&created.token), created.view.id);
        let controller = cluster.controller().clone();
        let ended = tokio::spawn({
            let (controller, id) = (controller.clone(), id.clone());
            async move { controller.token_ended(&id).await }
        });
        sleep(HOUR - Duration::from_secs(1)).await;
        let remaining = controller.token_by_hash(&hash).unwrap().remaining.unwrap();
        assert!(remaining > Duration::ZERO && remaining <= Duration::from_secs(2), "{remaining:?}");
        assert!(!ended.is_finished());
        sleep(Duration::from_secs(2)).await;
        assert!(controller.token_by_hash(&hash).unwrap().is_expired());
        ended.await.unwrap();
        assert!(controller.token_ended("unknown").now_or_never().is_some());
    });
}

#[test]
fn the_streams_of_a_revoked_token_end() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let forever = NewToken { expires: Expiry::Never, ..wanted("ci") };
        let id = create(&cluster, forever).await.unwrap().view.id;
        create(&cluster, wanted("other")).await.unwrap();
        let controller = cluster.controller().clone();
        let mut ended = Box::pin(controller.token_ended(&id));
        assert!((&mut ended).now_or_never().is_none());
        controller.revoke_token("other", &caller()).await.unwrap();
        assert!((&mut ended).now_or_never().is_none(), "another token was revoked");
        controller.revoke_token("ci", &caller()).await.unwrap();
        ended.await;
    });
}

#[test]
fn a_token_that_cannot_be_created_or_revoked_is_refused_with_the_reason() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        let for_shop = NewToken { app: Some("shop".into()), ..wanted("ci") };
        let created = create(&cluster, for_shop).await.unwrap();
        assert_eq!(created.view.app.unwrap().id, app);
        let taken = create(&cluster, wanted("ci")).await.err().unwrap();
        assert!(matches!(&taken, ControlError::Conflict(why) if why.contains("boatyard tokens revoke ci")), "{taken}");
        let unknown = create(&cluster, NewToken { app: Some("shpo".into()), ..wanted("b") }).await.err().unwrap();
        assert!(matches!(&unknown, ControlError::NotFound(why) if why.contains("\"shop\"")), "{unknown}");
        assert!(matches!(create(&cluster, wanted("admin")).await.err(), Some(ControlError::Invalid(_))));
        let missing = cluster.controller().revoke_token("cii", &caller()).await.unwrap_err();
        assert!(matches!(&missing, ControlError::NotFound(why) if why.contains("Did you mean \"ci\"")), "{missing}");
    });
}

#[test]
fn the_commit_of_an_accepted_request_contains_its_row_in_the_audit_trail() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        sleep(Duration::from_secs(60)).await;
        let asked = caller();
        let restart = cluster.controller().restart(&app, &[], &asked).await.unwrap();
        let row = audit(&cluster).await.remove(0);
        assert_eq!((row.app.as_ref(), row.app_name.as_deref()), (Some(&app), Some("shop")));
        assert_eq!((row.deployment.as_ref(), row.status), (Some(&restart.id), Some(200)));
        let actor = Actor { token: Some("token-1".into()), name: "ci".into() };
        assert_eq!((&row.actor, restart.actor.as_ref()), (&actor, Some(&actor)));
        assert_eq!(asked.audit.unwrap().finish(Some(200)), None, "nothing is left to write");

        // A repeated request makes no commit, so its row is left to the API.
        let repeated = caller();
        assert_eq!(cluster.controller().restart(&app, &[], &repeated).await.unwrap().id, restart.id);
        assert!(repeated.audit.unwrap().finish(Some(200)).is_some());
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(audit(&cluster).await.len(), 2, "the creation and the restart");
    });
}

#[test]
fn creating_and_revoking_tokens_is_in_the_audit_trail_without_the_token() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let created = create(&cluster, wanted("release")).await.unwrap();
        cluster.controller().revoke_token(&created.view.id, &caller()).await.unwrap();
        let rows = audit(&cluster).await;
        let subjects: Vec<_> = rows.iter().map(|it| it.subject.as_deref()).collect();
        assert_eq!(subjects, [Some("release"), Some("release")]);
        let text = format!("{rows:?}");
        assert!(!text.contains("dob_v1_") && !text.contains(&Controller::hash_token(&created.token)), "{text}");
    });
}
