//! Tests against servers that behave, and against servers that misbehave in one way each.
#![allow(clippy::unwrap_used)]

mod counting;
mod failing;
mod server;

use std::time::Duration;

use super::{Expected, Load, LoadPlan, LoadReport, Request};
use server::{Server, answer, read_request};

/// For a wait that ends in milliseconds unless something is broken.
const SOON: Duration = Duration::from_secs(300);

/// Sends traffic over a few connections until `count` requests have ended.
async fn report_after(count: usize, plan: LoadPlan) -> LoadReport {
    let load = Load::start(plan);
    load.reach(count, SOON).await.expect("the traffic flows");
    load.stop().await
}

fn plan_for(server: &Server) -> LoadPlan {
    LoadPlan::new(server.address, "shop.localhost").connections(2)
}

/// Checks that every request failed and that the first message contains `why`.
fn assert_all_failed(report: &LoadReport, why: &str) {
    assert!(report.sent > 0, "{report}");
    assert_eq!(report.failed_count, report.sent, "{report}");
    assert!(report.failed[0].contains(why), "{:?} does not say {why:?}", report.failed[0]);
}
