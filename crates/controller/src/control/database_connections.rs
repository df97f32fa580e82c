//! How to connect to the databases of an app.

use app_spec::Engine;
use rollout::ids::AppId;

use super::Controller;
use crate::app::connection;
use crate::error::ControlError;
use crate::view::DatabaseConnectionView;

impl Controller {
    pub(super) async fn database_connections_of(
        &self,
        app: &AppId,
    ) -> Result<Vec<DatabaseConnectionView>, ControlError> {
        let state = self.state(app).await?;
        let wanted = state.databases.iter().filter(|it| it.wanted);
        let view = wanted.map(|it| {
            let facts = connection(it);
            DatabaseConnectionView {
                component: it.name.clone(),
                // PostgreSQL is the only engine that this version runs.
                url: facts.url(Engine::Pg),
                host: facts.host,
                port: facts.port,
                username: facts.username,
                password: facts.password.expose().to_owned(),
                database: facts.database,
            }
        });
        Ok(view.collect())
    }
}
