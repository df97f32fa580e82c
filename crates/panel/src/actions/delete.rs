//! Deleting an app, whose name has to be typed.

use app_spec::AppSpec;
use maud::{Markup, html};
use present::text::list;
use web::HttpError;

use super::{ActionForm, buttons};
use crate::ui::button::Look;
use crate::ui::form::confirm;

pub(super) fn content(form: &ActionForm<'_>) -> Markup {
    let name = &form.app.name;
    let error = if typed(form).is_some_and(|it| it != name) { "This is not the name of the app." } else { "" };
    let content = html! {
        p { "Its instances get no new requests, finish the open ones and stop. Then its containers, images, logs and records are \
             removed. This cannot be undone." }
        p { (volumes(&AppSpec::from_stored(&form.app.spec).unwrap_or_default())) }
        (confirm(name, error))
        (buttons(form, Look::Danger, "Delete the app", false))
    };
    form.element(false, content)
}

fn volumes(spec: &AppSpec) -> String {
    let names: Vec<_> = spec.databases.iter().map(|it| it.name.as_str()).collect();
    match (names.len(), list(&names)) {
        (1, Some(name)) => format!("Its database {name} stops. The volume with the data stays on this host."),
        (_, Some(names)) => format!("Its databases {names} stop. The volumes with their data stay on this host."),
        (_, None) => "It has no database, so no volume stays.".into(),
    }
}

pub(super) async fn perform(form: &ActionForm<'_>) -> Result<(), HttpError> {
    let name = &form.app.name;
    if typed(form) != Some(name) {
        return Err(HttpError::bad_request(format!("the app was not deleted. To confirm, type its name: {name}")));
    }
    Ok(form.request.access.control.delete_app(&form.app.id).await?)
}

/// The name without spaces around it, which a copied text may have. The script ignores them, too.
fn typed<'a>(form: &ActionForm<'a>) -> Option<&'a str> {
    form.fields.get("confirm").map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_to_volumes_is_said() {
        let spec = |databases: &str| {
            AppSpec::from_yaml(&format!("name: shop\ndatabases: [{databases}]\n")).expect("a spec").spec
        };
        let (one, two) = ("{name: db, engine: PG}", "{name: db, engine: PG}, {name: log, engine: PG}");
        assert!(volumes(&spec(one)).starts_with("Its database db stops. The volume"));
        assert!(volumes(&spec(two)).starts_with("Its databases db and log stop. The volumes"));
        assert!(volumes(&AppSpec::default()).contains("no volume stays"));
    }
}
