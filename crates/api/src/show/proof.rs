//! What our own clients read beside App Platform's fields, under the key `boatyard`: the number, why it waits, why it
//! failed, and the proof of what was served meanwhile.

use rollout::deployment::Stage;
use rollout::queue::Build;
use serde_json::{Map, Value, json};
use store::records::{Deployment, Record, Served};

use super::fields::{Fields, time};

/// The extension of one deployment.
pub(super) fn proof(deployment: &Deployment, waiting: &[String]) -> Value {
    let images: Map<String, Value> =
        deployment.images.iter().map(|(name, image)| (name.to_string(), json!(image))).collect();
    Fields::new()
        .set("number", deployment.number)
        .serialized("stage", &deployment.stage)
        .set("kind", kind(deployment))
        .set("rolled_back", rolled_back(deployment))
        .set("waiting", waiting.to_vec())
        .set("record", record(&deployment.record))
        .set("images", images)
        .maybe("failure", deployment.failure.as_ref().map(|it| json!(it)))
        .maybe("log_tail", Some(deployment.log_tail.clone()).filter(|it| !it.is_empty()))
        .maybe("superseded_by", deployment.superseded_by.as_ref().map(|it| it.as_str()))
        .build()
}

/// What was asked for, in one word.
fn kind(deployment: &Deployment) -> &'static str {
    match deployment.request.build {
        Build::Frozen => "restart",
        Build::Reuse => "deploy",
        Build::Force | Build::ForceWithoutCache => "rebuild",
    }
}

/// It failed after instances began to be replaced, and what served before serves again. What a restart replaced stays: it
/// is the same.
fn rolled_back(deployment: &Deployment) -> bool {
    let undone = matches!(deployment.stage, Stage::RollingBack | Stage::Failed);
    let rolled = deployment.record.roll_began.is_some() && deployment.previous.is_some();
    undone && rolled && deployment.request.build != Build::Frozen && !deployment.record.rollback_abandoned
}

fn record(record: &Record) -> Value {
    Fields::new()
        .maybe("serving_since", record.serving_since.and_then(time))
        .maybe("roll_began", record.roll_began.and_then(time))
        .maybe("roll_ended", record.roll_ended.and_then(time))
        .set("rollback_abandoned", record.rollback_abandoned)
        .maybe("served", record.served.map(served))
        .serialized("unchanged", &record.unchanged)
        .set("notes", record.notes.clone())
        .build()
}

/// What passed the ingress. Calls from component to component are in none of these numbers.
fn served(served: Served) -> Value {
    json!({
        "requests": served.requests,
        "open_at_start": served.open_at_start,
        "failed": served.failed,
        "app_errors": served.app_errors,
        "client_gone": served.client_gone,
        "requests_cut": served.requests_cut,
        "uploads_cut": served.uploads_cut,
        "upgraded": served.upgraded,
        "upgraded_cut": served.upgraded_cut,
        "slowest_ms": served.slowest_us.div_ceil(1000),
        "at_least": served.at_least,
    })
}
