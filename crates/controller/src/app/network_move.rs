//! Moves an app to another network if something else on the host uses the subnet that was chosen for it.

use engine::EngineError;
use rollout::instance::InstancePhase;
use rollout::job::JobPhase;
use store::StoreError;
use store::records::{App, Change, Database, Instance, JobRun};
use tracing::info;

use super::context::Context;
use crate::network::free_number;

/// Assigns the next free network to the app and moves every address to the same place in it, as long as no container
/// was created in the old network. Otherwise returns the reason.
pub(super) async fn move_network(cx: &mut Context, error: &EngineError) -> Result<Option<String>, StoreError> {
    let (shared, records) = (cx.shared.clone(), &cx.records);
    let pool = shared.config.network_pool;
    let chosen = pool.network(records.app.network).subnet();
    if matches!(error, EngineError::SubnetTaken { subnet, .. } if *subnet != chosen) {
        // The app has moved since that request.
        return Ok(None);
    }
    let is_open = |it: &JobRun| !it.collected && it.phase != JobPhase::Intended;
    if records.instances.iter().any(|it| it.phase != InstancePhase::Intended)
        || records.databases.iter().any(|it| it.created)
        || records.job_runs.iter().any(is_open)
    {
        return Ok(Some(error.to_string()));
    }
    let _one_at_a_time = shared.networks.lock().await;
    let taken = shared.store.networks().await?;
    let Some(number) = free_number(pool, &taken, records.app.network + 1) else {
        return Ok(Some("every network of the pool is taken; start with another --network-pool".into()));
    };
    info!(%error, number, "something else uses the network; using another one");
    let network = pool.network(number);
    let mut changes = vec![Change::App(App { network: number, ..records.app.clone() })];
    let moved = |address| network.at_the_place_of(address);
    let instances = records.instances.iter().map(|it| Instance { address: moved(it.address), ..it.clone() });
    changes.extend(instances.map(Change::Instance));
    let databases = records.databases.iter().map(|it| Database { address: moved(it.address), ..it.clone() });
    changes.extend(databases.map(Change::Database));
    let runs = records.job_runs.iter().filter(|it| !it.collected);
    changes.extend(runs.map(|it| Change::JobRun(JobRun { address: moved(it.address), ..it.clone() })));
    cx.commit(changes).await?;
    Ok(None)
}
