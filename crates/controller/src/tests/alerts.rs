//! Alerts come from the spec. Their destinations are stored and start no deployment.

use app_spec::AppSpec;
use rollout::deployment::Stage;
use store::records::SlackWebhook;

use super::cluster::{SPEC, TestCluster, caller};
use super::simulation::simulate;
use crate::Control;
use crate::error::ControlError;
use crate::view::{AlertView, UpdateOptions};

fn with_alerts(alerts: &str) -> AppSpec {
    AppSpec::from_yaml(&format!("{}alerts: {alerts}\n", SPEC.replace("{tag}", "1"))).unwrap().spec
}

fn hook() -> SlackWebhook {
    SlackWebhook { url: "https://hooks.example.com/secret-part".into(), channel: "#alerts".into() }
}

fn rules(alerts: &[AlertView]) -> Vec<&str> {
    alerts.iter().map(|it| it.spec["rule"].as_str().unwrap()).collect()
}

#[test]
fn destinations_stay_with_their_alert_and_start_no_deployment() {
    simulate(async {
        let mut cluster = TestCluster::new().await;
        let spec = with_alerts("[{rule: DEPLOYMENT_FAILED}, {rule: DOMAIN_FAILED}]");
        let app = cluster.controller().create_app(spec, &caller()).await.unwrap().id;
        cluster.settle(&app, Stage::Active).await;
        let before = cluster.controller().alerts(&app).await.unwrap();
        assert_eq!(rules(&before), ["DEPLOYMENT_FAILED", "DOMAIN_FAILED"]);
        assert!(before.iter().all(|it| it.emails.is_empty() && it.slack_webhooks.is_empty()));
        assert_ne!(before[0].id, before[1].id);

        let emails = vec!["a@example.com".to_owned()];
        for _ in 0..2 {
            let set = cluster.controller();
            let set = set.set_alert_destinations(&app, &before[0].id, emails.clone(), vec![hook()]).await.unwrap();
            assert_eq!((&set.id, &set.emails, &set.slack_webhooks), (&before[0].id, &emails, &vec![hook()]));
        }
        cluster.crash().await;
        cluster.open().await;
        // The spec changes, and the alert is now the second one.
        let spec = with_alerts("[{rule: DEPLOYMENT_LIVE}, {rule: DEPLOYMENT_FAILED, disabled: true}]");
        cluster.controller().update_app(&app, spec, UpdateOptions::default(), &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        let after = cluster.controller().alerts(&app).await.unwrap();
        assert_eq!(rules(&after), ["DEPLOYMENT_LIVE", "DEPLOYMENT_FAILED"]);
        assert_eq!((&after[1].id, &after[1].emails), (&before[0].id, &emails));
        assert_eq!(cluster.newest(&app).await.number, 2, "destinations started no deployment");

        let emptied = cluster.controller().set_alert_destinations(&app, &after[1].id, vec![], vec![]).await.unwrap();
        assert!(emptied.emails.is_empty() && emptied.slack_webhooks.is_empty());
        assert_eq!(cluster.store().alert_destinations(&app).await.unwrap().len(), 0);
    });
}

#[test]
fn an_alert_that_the_spec_does_not_have_is_not_found() {
    simulate(async {
        let (cluster, app) = TestCluster::with_app().await;
        assert_eq!(cluster.controller().alerts(&app).await.unwrap().len(), 0);
        let refused = cluster.controller().set_alert_destinations(&app, "some-id", vec![], vec![hook()]).await;
        assert!(matches!(refused, Err(ControlError::NotFound(_))), "{refused:?}");
        let unknown = cluster.controller().alerts(&"other".into()).await;
        assert!(matches!(unknown, Err(ControlError::NotFound(_))), "{unknown:?}");
    });
}

#[test]
fn the_address_of_a_webhook_is_in_no_debug_output() {
    let text = format!("{:?}", hook());
    assert!(text.contains("#alerts") && !text.contains("secret-part"), "{text}");
}
