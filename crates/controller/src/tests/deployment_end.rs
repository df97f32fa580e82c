//! Callers wait for the end of a deployment.

use rollout::deployment::Stage;

use super::cluster::TestCluster;
use super::simulation::simulate;
use crate::Control;
use crate::error::ControlError;

#[test]
fn a_caller_gets_a_deployment_once_it_has_ended() {
    simulate(async {
        let cluster = TestCluster::new().await;
        let app = cluster.create("1").await;
        let first = cluster.newest(&app).await;
        assert!(!first.stage.is_ended(), "{:?}", first.stage);
        let ended = async |id| cluster.controller().ended_deployment(&app, id).await;
        assert_eq!(ended(&first.id).await.unwrap().stage, Stage::Active);
        assert_eq!(ended(&first.id).await.unwrap().stage, Stage::Active, "it has ended already");

        let restart = cluster.restart(&app).await.id;
        let (canceled, deleted) = tokio::join!(ended(&restart), cluster.controller().delete_app(&app));
        deleted.unwrap();
        assert_eq!(canceled.unwrap().stage, Stage::Canceled, "a deletion ends every deployment");
        let unknown = ended(&"other".into()).await;
        assert!(matches!(unknown, Err(ControlError::NotFound(_))), "{unknown:?}");
    });
}
