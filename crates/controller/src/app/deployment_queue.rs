//! Whose turn it is, among the deployments of one app that have not ended.

use rollout::deployment::Stage;
use rollout::ids::DeploymentId;
use rollout::queue::{Admission, Request, admit};
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

/// What a new request comes to, among those that are there.
pub(crate) struct QueuePosition<'a> {
    pub admission: Admission,
    /// Those under way, and those whose turn is the next one: they wait for nobody.
    pub running: Vec<&'a Deployment>,
    /// The one in the waiting place.
    pub waiting: Option<&'a Deployment>,
}

impl<'a> QueuePosition<'a> {
    pub fn of(state: &'a AppState, request: &Request) -> Self {
        // What a person canceled is not merged into anything.
        let next = to_advance(state);
        let (running, mut pending): (Vec<_>, Vec<_>) = open(state).into_iter().partition(|it| next.contains(&it.id));
        let waiting = pending.pop();
        let stages: Vec<_> = running.iter().map(|it| it.stage).collect();
        let admission = admit(&stages, waiting.map(|it| &it.request), request);
        Self { admission, running, waiting }
    }
}

/// The oldest first.
fn open(state: &AppState) -> Vec<&Deployment> {
    let mut open: Vec<_> = state.deployments.iter().filter(|it| !it.stage.is_ended()).collect();
    open.sort_by_key(|it| it.number);
    open
}
