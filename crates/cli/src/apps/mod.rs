//! Commands about apps. Each sends a request to the API and prints the answer.

mod alerts;
mod catalog;
mod changes;
mod console;
mod dry_run;
mod explain;
mod history;
mod logs;
mod queries;
mod rollback;

pub use queries::first_items;

use self::changes::Upsert;
use crate::args::{Apps, Connection};
use crate::discover;
use crate::exit::Exit;

pub async fn run(command: Apps, connection: &Connection) -> anyhow::Result<Exit> {
    // Some commands read a file first, because an error in it does not need a server.
    let client = || discover::client(connection);
    match command {
        Apps::Create { spec, upsert, update_sources, project_id, acting, output } => {
            let mut spec = crate::spec::load(&spec)?;
            let client = client()?;
            // An existing app already has its values, so do not prompt for them.
            if upsert && changes::app_exists(&client, &spec.name).await? {
                return changes::update(&client, &spec.name, &spec, update_sources, &acting, &output).await;
            }
            crate::spec::prompt(&mut spec)?;
            let upsert = upsert.then_some(Upsert { update_sources });
            changes::create(&client, &spec, project_id.as_deref(), upsert, &acting, &output).await
        }
        Apps::Update { app, spec, update_sources, acting, output } => {
            let spec = crate::spec::load(&spec)?;
            changes::update(&client()?, &app, &spec, update_sources, &acting, &output).await
        }
        Apps::Propose { spec, app, output } => {
            let spec = crate::spec::load(&spec)?;
            dry_run::propose(&client()?, app.as_deref(), &spec, &output).await
        }
        Apps::Explain { app, output } => explain::run(&client()?, &app, output).await,
        Apps::Restart { app, components, acting, output } => {
            changes::restart(&client()?, &app, &components, &acting, &output).await
        }
        Apps::CreateDeployment { app, force_rebuild, clear_cache, acting, output } => {
            let body = serde_json::json!({ "force_build": force_rebuild || clear_cache, "clear_cache": clear_cache });
            changes::deploy(&client()?, &app, &body, &acting, &output).await
        }
        Apps::Rollback(asked) => rollback::run(&client()?, asked).await,
        Apps::Delete { app, force } => changes::delete(&client()?, &app, force).await,
        Apps::CancelDeployment { app, deployment, output } => {
            changes::cancel(&client()?, &app, &deployment, &output).await
        }
        Apps::Get { app, output } => queries::get(&client()?, &app, &output).await,
        Apps::List { with_projects, output } => queries::list(&client()?, with_projects, &output).await,
        Apps::ListDeployments { app, output } => queries::list_deployments(&client()?, &app, &output).await,
        Apps::GetDeployment { app, deployment, waiting, output } => {
            queries::get_deployment(&client()?, &app, &deployment, waiting, &output).await
        }
        Apps::ListInstances { app, output } => queries::list_instances(&client()?, &app, &output).await,
        Apps::BuildSecrets { app, as_arguments } => changes::set_build_secrets(&client()?, &app, as_arguments).await,
        Apps::ListAlerts { app, output } => alerts::list(&client()?, &app, &output).await,
        Apps::UpdateAlertDestinations { app, alert, app_alert_destinations, output } => {
            let destinations = alerts::read_destinations(&app_alert_destinations)?;
            alerts::update_destinations(&client()?, &app, &alert, &destinations, &output).await
        }
        Apps::Console { app, component, instance, deployment } => {
            let query = console::ConsoleQuery { app, component, instance, deployment };
            console::run(&client()?, &query).await
        }
        Apps::Logs { app, component, source, follow, tail, no_prefix } => {
            let query = logs::LogQuery { app, component, source, follow, tail };
            logs::run(&client()?, &query, no_prefix).await
        }
        Apps::ListJobInvocations { app, job_name, deployment, output } => {
            let client = client()?;
            history::list_job_invocations(&client, &app, &job_name, deployment.as_deref(), &output).await
        }
        Apps::GetJobInvocation { app, invocation, output } => {
            history::get_job_invocation(&client()?, &app, &invocation, &output).await
        }
        Apps::CancelJobInvocation { app, invocation, output } => {
            history::cancel_job_invocation(&client()?, &app, &invocation, &output).await
        }
        Apps::ListEvents { app, event_type, output } => {
            history::list_events(&client()?, &app, &event_type, &output).await
        }
        Apps::GetEvent { app, event, output } => history::get_event(&client()?, &app, &event, &output).await,
        Apps::CancelEvent { app, event, output } => history::cancel_event(&client()?, &app, &event, &output).await,
        Apps::ListRegions { output } => catalog::regions(&client()?, &output).await,
        Apps::ListBuildpacks { output } => catalog::buildpacks(&client()?, &output).await,
        Apps::UpgradeBuildpack { app, buildpack, major_version, trigger_deployment, output } => {
            let body = catalog::upgrade_body(&buildpack, major_version, trigger_deployment);
            catalog::upgrade_buildpack(&client()?, &app, &body, &output).await
        }
        Apps::Tier(command) => catalog::tiers(&client()?, command).await,
        Apps::Spec(command) => crate::spec::run(command, connection).await,
    }
}
