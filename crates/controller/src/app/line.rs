//! Whose turn it is, among the deployments of one app that have not ended.

use rollout::deployment::Stage;
use rollout::ids::DeploymentId;
use store::records::{AppState, Deployment};

/// Those under way, and of the pending ones those whose turn has come: the oldest when nothing else is under way, a
/// restart while the others only build.
pub(crate) fn to_advance(state: &AppState) -> Vec<DeploymentId> {
    let open = open(state);
    let begun = |it: &&&Deployment| it.stage != Stage::Pending;
    let any_begun = open.iter().any(|it| begun(&it));
    let only_build = open.iter().filter(begun).all(|it| matches!(it.stage, Stage::Building | Stage::Built));
    let oldest = open.iter().find(|it| it.stage == Stage::Pending).map(|it| &it.id);
    let may = |it: &&&Deployment| {
        it.stage != Stage::Pending
            || it.cancel_asked
            || (!any_begun && Some(&it.id) == oldest)
            || (it.request.is_restart() && only_build)
    };
    // A restart comes before what only builds: it is what an app that hangs waits for.
    let mut ready: Vec<_> = open.iter().filter(may).collect();
    ready.sort_by_key(|it| !it.request.is_restart());
    ready.into_iter().map(|it| it.id.clone()).collect()
}

/// Those under way, and the one in the waiting place.
pub(crate) fn in_line(state: &AppState) -> (Vec<&Deployment>, Option<&Deployment>) {
    // Those whose turn is the next one wait for nobody, and what a person canceled is not merged into anything.
    let next = to_advance(state);
    let (begun, mut pending): (Vec<_>, Vec<_>) = open(state).into_iter().partition(|it| next.contains(&it.id));
    (begun, pending.pop())
}

/// The oldest first.
fn open(state: &AppState) -> Vec<&Deployment> {
    let mut open: Vec<_> = state.deployments.iter().filter(|it| !it.stage.is_ended()).collect();
    open.sort_by_key(|it| it.number);
    open
}
