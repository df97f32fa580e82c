//! Commands about apps: each asks the API and prints its answer.

mod acting;
mod logs;
mod planning;
mod reading;

use crate::args::{Apps, Connection};
use crate::discover;
use crate::exit::Exit;

pub async fn run(command: Apps, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Apps::Create { spec, upsert, acting, output } => {
            // A bad spec needs no server to be refused.
            let mut spec = crate::spec::given(&spec)?;
            let client = discover::client(connection)?;
            // An app that is there already has values of its own.
            if upsert && acting::is_there(&client, &spec.name).await? {
                return acting::update(&client, &spec.name, &spec, &acting, &output).await;
            }
            crate::spec::ask(&mut spec)?;
            acting::create(&client, &spec, upsert, &acting, &output).await
        }
        Apps::Update { app, spec, acting, output } => {
            let spec = crate::spec::given(&spec)?;
            acting::update(&discover::client(connection)?, &app, &spec, &acting, &output).await
        }
        Apps::Propose { spec, app } => {
            let spec = crate::spec::given(&spec)?;
            planning::propose(&discover::client(connection)?, app.as_deref(), &spec).await
        }
        Apps::Restart { app, components, acting, output } => {
            acting::restart(&discover::client(connection)?, &app, &components, &acting, &output).await
        }
        Apps::CreateDeployment { app, force_rebuild, clear_cache, acting, output } => {
            let body = serde_json::json!({ "force_build": force_rebuild || clear_cache, "clear_cache": clear_cache });
            acting::deploy(&discover::client(connection)?, &app, &body, &acting, &output).await
        }
        Apps::Delete { app, force } => acting::delete(&discover::client(connection)?, &app, force).await,
        Apps::CancelDeployment { app, deployment, output } => {
            acting::cancel(&discover::client(connection)?, &app, &deployment, &output).await
        }
        Apps::Get { app, output } => reading::get(&discover::client(connection)?, &app, &output).await,
        Apps::List { output } => reading::list(&discover::client(connection)?, &output).await,
        Apps::ListDeployments { app, output } => {
            reading::list_deployments(&discover::client(connection)?, &app, &output).await
        }
        Apps::GetDeployment { app, deployment, waiting, output } => {
            reading::get_deployment(&discover::client(connection)?, &app, &deployment, waiting, &output).await
        }
        Apps::ListInstances { app, output } => {
            reading::list_instances(&discover::client(connection)?, &app, &output).await
        }
        Apps::Logs { app, component, deployment, kind, follow, tail, no_prefix } => {
            let question = logs::Question { app, component, deployment, kind, follow, tail };
            logs::run(&discover::client(connection)?, &question, no_prefix).await
        }
    }
}
