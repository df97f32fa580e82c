//! How to connect to a database of an app. The password is on this page alone, and the audit trail records who saw it.

use axum::routing::get;
use controller::view::DatabaseConnectionView;
use maud::{Markup, html};
use web::{HttpError, Needs, PathParams};

use super::dialog_page;
use crate::request::{PageRequest, PageResult};
use crate::routes::{Route, route};
use crate::ui::dialog::Dialog;
use crate::ui::{button, table};

pub(super) fn routes() -> Vec<Route> {
    vec![route("/apps/{app}/databases/{database}", Needs::Password, get(connection))]
}

async fn connection(request: PageRequest, PathParams((app, database)): PathParams<(String, String)>) -> PageResult {
    let app = request.access.app(&app).await?;
    let all = request.access.control.database_connections(&app.id).await?;
    let found = all.into_iter().find(|it| it.component.as_str() == database);
    let missing = || HttpError::not_found(format!("app {} has no database {database:?} that runs", app.name));
    let it = found.ok_or_else(missing)?;
    let (title, page) = (format!("Connect to {database}"), format!("/apps/{}", app.name));
    let dialog = Dialog { title: &title, page: &page }.markup(details(&it));
    Ok(dialog_page(&request, &app.name, &title, dialog))
}

fn details(it: &DatabaseConnectionView) -> Markup {
    let shown = |text: &str, what: &str| html! { code { (text) } (button::copy(text, what)) };
    let rows = [
        ("Host", shown(&it.host, "host")),
        ("Port", shown(&it.port.to_string(), "port")),
        ("User", shown(&it.username, "user")),
        ("Password", shown(&it.password, "password")),
        ("Database", shown(&it.database, "database")),
        ("URL", shown(&it.url, "URL")),
    ];
    html! {
        p { "The components of the app reach the database under this name. Nothing else does: it has no port on this host." }
        (table::facts(&rows))
    }
}
