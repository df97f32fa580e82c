//! Transitions of instances: kept in order, recorded once, and deleted with their deployment.

use rollout::deployment::Stage;
use rollout::time::Timestamp;

use super::samples::*;
use crate::Damaged;
use crate::records::{Change, InstanceTransition, Transition};

fn change(it: &InstanceTransition) -> Change {
    Change::Transition(Box::new(it.clone()))
}

async fn with_transitions(all: &[InstanceTransition]) -> TestStore {
    let test = TestStore::with_app("shop").await;
    test.store.commit(vec![put(deployment("shop", 1, Stage::Rolling))]).await.unwrap();
    test.store.commit(all.iter().map(change).collect()).await.unwrap();
    test
}

#[tokio::test]
async fn transitions_are_read_in_the_order_in_which_they_were_recorded() {
    let all = [
        transition("shop", Transition::Ready, 5),
        transition("shop", Transition::Routed, 5),
        // Somebody set the clock back.
        transition("shop", Transition::Unready, 3),
        transition("shop", Transition::Ready, 4),
    ];
    let test = with_transitions(&all).await;
    assert_eq!(test.store.transitions(&deployment_id("shop", 1)).await.unwrap(), all);
    assert_eq!(test.store.transitions(&deployment_id("shop", 2)).await.unwrap(), []);
}

#[tokio::test]
async fn a_transition_that_is_recorded_again_keeps_its_first_time() {
    let routed = transition("shop", Transition::Routed, 5);
    let test = with_transitions(std::slice::from_ref(&routed)).await;
    let again = InstanceTransition { at: Timestamp(9), ..routed.clone() };
    test.store.commit(vec![change(&again)]).await.unwrap();
    assert_eq!(test.store.transitions(&routed.deployment).await.unwrap(), [routed]);
}

#[tokio::test]
async fn transitions_are_deleted_with_their_deployment_and_with_their_app() {
    for forget in [Change::ForgetDeployment(deployment_id("shop", 1)), Change::ForgetApp("shop".into())] {
        let test = with_transitions(&[transition("shop", Transition::Ready, 5)]).await;
        test.store.commit(vec![forget]).await.unwrap();
        let left: u32 = test.sql().query_row("SELECT count(*) FROM transitions", [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }
}

#[tokio::test]
async fn a_damaged_transition_is_skipped_and_reported_until_its_deployment_is_deleted() {
    let all = [transition("shop", Transition::Ready, 5), transition("shop", Transition::Draining, 6)];
    let test = with_transitions(&all).await;
    test.sql().execute("UPDATE transitions SET body = '{' WHERE transition = 'ready'", []).unwrap();
    let id = deployment_id("shop", 1);
    assert_eq!(test.store.transitions(&id).await.unwrap(), all[1..]);
    let damaged = test.store.damaged();
    assert!(matches!(&damaged[..], [Damaged { table: "transitions", .. }]), "{damaged:?}");
    test.store.commit(vec![Change::ForgetDeployment(id)]).await.unwrap();
    assert_eq!(test.store.damaged(), []);
}
