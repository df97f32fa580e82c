//! Commands about apps. Each sends a request to the API and prints the answer.

mod alerts;
mod changes;
mod dry_run;
mod logs;
mod queries;
mod rollback;

use self::changes::Upsert;
use crate::args::{Apps, Connection};
use crate::discover;
use crate::exit::Exit;

pub async fn run(command: Apps, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Apps::Create { spec, upsert, update_sources, acting, output } => {
            // Reads the spec first, because a bad spec is an error even without a server.
            let mut spec = crate::spec::load(&spec)?;
            let client = discover::client(connection)?;
            // An existing app already has its values, so do not prompt for them.
            if upsert && changes::app_exists(&client, &spec.name).await? {
                return changes::update(&client, &spec.name, &spec, update_sources, &acting, &output).await;
            }
            crate::spec::prompt(&mut spec)?;
            let upsert = upsert.then_some(Upsert { update_sources });
            changes::create(&client, &spec, upsert, &acting, &output).await
        }
        Apps::Update { app, spec, update_sources, acting, output } => {
            let spec = crate::spec::load(&spec)?;
            changes::update(&discover::client(connection)?, &app, &spec, update_sources, &acting, &output).await
        }
        Apps::Propose { spec, app } => {
            let spec = crate::spec::load(&spec)?;
            dry_run::propose(&discover::client(connection)?, app.as_deref(), &spec).await
        }
        Apps::Restart { app, components, acting, output } => {
            changes::restart(&discover::client(connection)?, &app, &components, &acting, &output).await
        }
        Apps::CreateDeployment { app, force_rebuild, clear_cache, acting, output } => {
            let body = serde_json::json!({ "force_build": force_rebuild || clear_cache, "clear_cache": clear_cache });
            changes::deploy(&discover::client(connection)?, &app, &body, &acting, &output).await
        }
        Apps::Rollback(asked) => rollback::run(&discover::client(connection)?, asked).await,
        Apps::Delete { app, force } => changes::delete(&discover::client(connection)?, &app, force).await,
        Apps::CancelDeployment { app, deployment, output } => {
            changes::cancel(&discover::client(connection)?, &app, &deployment, &output).await
        }
        Apps::Get { app, output } => queries::get(&discover::client(connection)?, &app, &output).await,
        Apps::List { output } => queries::list(&discover::client(connection)?, &output).await,
        Apps::ListDeployments { app, output } => {
            queries::list_deployments(&discover::client(connection)?, &app, &output).await
        }
        Apps::GetDeployment { app, deployment, waiting, output } => {
            queries::get_deployment(&discover::client(connection)?, &app, &deployment, waiting, &output).await
        }
        Apps::ListInstances { app, output } => {
            queries::list_instances(&discover::client(connection)?, &app, &output).await
        }
        Apps::ListAlerts { app, output } => alerts::list(&discover::client(connection)?, &app, &output).await,
        Apps::UpdateAlertDestinations { app, alert, app_alert_destinations, output } => {
            let destinations = alerts::read_destinations(&app_alert_destinations)?;
            alerts::update_destinations(&discover::client(connection)?, &app, &alert, &destinations, &output).await
        }
        Apps::Logs { app, component, deployment, kind, follow, tail, no_prefix } => {
            let query = logs::LogQuery { app, component, deployment, kind, follow, tail };
            logs::run(&discover::client(connection)?, &query, no_prefix).await
        }
    }
}
