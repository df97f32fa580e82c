//! `--format ID,Status`: doctl's columns by its names, and a few of ours. Case, dots, blanks and dashes do not matter.

use present::{App, Deployment, Instance};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::args::{Form, Output};
use crate::exit::UsageError;
use crate::say;
use crate::table;

/// One column: how `--format` calls it, its heading, and its cell.
pub struct Column {
    pub name: &'static str,
    pub heading: &'static str,
    /// Shown when no format is given.
    pub usual: bool,
    pub cell: fn(&Value) -> String,
}

const fn usual(name: &'static str, heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { name, heading, usual: true, cell }
}

const fn more(name: &'static str, heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { name, heading, usual: false, cell }
}

pub const APPS: &[Column] = &[
    usual("ID", "ID", |it| text(it, "/id")),
    usual("Spec.Name", "Spec Name", |it| text(it, "/spec/name")),
    usual("Status", "Status", |it| view::<App>(it).status()),
    usual("DefaultIngress", "Default Ingress", |it| text(it, "/default_ingress")),
    more("ActiveDeployment.ID", "Active Deployment ID", |it| text(it, "/active_deployment/id")),
    more("InProgressDeployment.ID", "In Progress Deployment ID", |it| text(it, "/in_progress_deployment/id")),
    more("Created", "Created At", |it| text(it, "/created_at")),
    usual("Updated", "Updated At", |it| text(it, "/updated_at")),
    more("Name", "Spec Name", |it| text(it, "/spec/name")),
    more("Phase", "Phase", |it| view::<App>(it).phase().to_owned()),
];

pub const DEPLOYMENTS: &[Column] = &[
    usual("ID", "ID", |it| text(it, "/id")),
    usual("Number", "Number", |it| text(it, "/boatyard/number")),
    usual("Cause", "Cause", |it| text(it, "/cause")),
    usual("Progress", "Progress", |it| view::<Deployment>(it).progress.summary()),
    usual("Phase", "Phase", |it| text(it, "/phase")),
    more("Status", "Status", |it| text(it, "/phase")),
    usual("Created", "Created At", |it| text(it, "/created_at")),
    usual("Updated", "Updated At", |it| text(it, "/updated_at")),
];

pub const UNKNOWN: &[Column] = &[
    usual("App", "App ID", |it| text(it, "/app")),
    usual("Name", "App Name", |it| text(it, "/name")),
    usual("Hosts", "Hosts", hosts),
    usual("Container", "Container", |it| text(it, "/container/name")),
    usual("Component", "Component", |it| text(it, "/container/component")),
    usual("Role", "Role", |it| text(it, "/container/role")),
    usual("Running", "Running", |it| text(it, "/container/running")),
    usual("Routed", "Routed", |it| text(it, "/container/routed")),
];

pub const INSTANCES: &[Column] = &[
    usual("Name", "Name", |it| text(it, "/instance_name")),
    usual("ComponentName", "Component Name", |it| text(it, "/component_name")),
    usual("ComponentType", "Component Type", |it| text(it, "/component_type")),
    usual("InstanceAlias", "Instance Alias", |it| text(it, "/instance_alias")),
    usual("Status", "Status", |it| view::<Instance>(it).status()),
    more("Phase", "Phase", |it| text(it, "/boatyard/phase")),
    more("ContainerID", "Container ID", |it| text(it, "/boatyard/container_id")),
    usual("Started", "Started At", |it| text(it, "/boatyard/started_at")),
    usual("Restarts", "Restarts", |it| view::<Instance>(it).restarts()),
];

/// The chosen columns, or the usual ones. Errors: [`UsageError`], with the nearest name.
pub fn chosen<'a>(all: &'a [Column], format: &[String]) -> Result<Vec<&'a Column>, UsageError> {
    let wanted: Vec<_> = format.iter().filter(|name| !name.trim().is_empty()).collect();
    if wanted.is_empty() {
        return Ok(all.iter().filter(|column| column.usual).collect());
    }
    wanted.into_iter().map(|name| find(all, name)).collect()
}

fn find<'a>(all: &'a [Column], name: &str) -> Result<&'a Column, UsageError> {
    let bare = bare(name);
    let by_name = all.iter().find(|column| self::bare(column.name) == bare);
    let found = by_name.or_else(|| all.iter().find(|column| self::bare(column.heading) == bare));
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|column| column.name).collect();
        UsageError(format!("there is no column {name:?}; there are {}", names.join(",")))
    })
}

fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Prints objects as a table, or as a JSON array of the API's own objects, as doctl does.
pub fn print(all: &[Column], objects: &[Value], output: &Output) -> anyhow::Result<()> {
    say::result(&rendered(all, objects, output)?);
    Ok(())
}

fn rendered(all: &[Column], objects: &[Value], output: &Output) -> Result<String, UsageError> {
    let columns = chosen(all, &output.format)?;
    if output.output == Form::Json {
        return Ok(format!("{:#}\n", Value::from(objects)));
    }
    let headings: Vec<_> = columns.iter().map(|column| column.heading).collect();
    let rows: Vec<Vec<String>> =
        objects.iter().map(|it| columns.iter().map(|column| (column.cell)(it)).collect()).collect();
    Ok(table::render((!output.no_header).then_some(&headings[..]), &rows))
}

/// A field as text; nothing where it is absent.
fn text(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn hosts(app: &Value) -> String {
    let hosts = app["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str);
    hosts.collect::<Vec<_>>().join(" ")
}

/// Reads an object of the API. Fields that are missing or have another type count as absent.
fn view<T: DeserializeOwned + Default>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn deployment() -> Value {
        json!({ "id": "d-1", "phase": "ACTIVE", "progress": { "success_steps": 8, "total_steps": 8 }, "boatyard": { "number": 3 } })
    }

    fn output(format: &str, no_header: bool, output: Form) -> Output {
        Output { format: format.split(',').map(str::to_owned).collect(), no_header, output }
    }

    #[test]
    fn status_means_phase_and_case_does_not_matter() {
        let drawn =
            rendered(DEPLOYMENTS, &[deployment()], &output("id,STATUS", false, Form::Text)).expect("known columns");
        assert_eq!(drawn, "ID   Status\nd-1  ACTIVE\n");
        let drawn =
            rendered(DEPLOYMENTS, &[deployment()], &output("ID,Phase", true, Form::Text)).expect("known columns");
        assert_eq!(drawn, "d-1  ACTIVE\n");
    }

    #[test]
    fn doctls_names_and_headings_both_work() {
        for name in ["Spec.Name", "spec name", "SpecName"] {
            assert_eq!(chosen(APPS, &[name.to_owned()]).expect("known")[0].heading, "Spec Name");
        }
        for name in ["ID", "ActiveDeployment.ID", "InProgressDeployment.ID", "DefaultIngress", "Created", "Updated"] {
            assert!(chosen(APPS, &[name.to_owned()]).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_unknown_column_lists_those_there_are() {
        let error = chosen(DEPLOYMENTS, &["Stat".to_owned()]).map(|_| ()).expect_err("unknown");
        assert!(error.to_string().contains("\"Stat\"") && error.to_string().contains("Status"), "{error}");
    }

    #[test]
    fn json_is_an_array_of_the_objects_themselves() {
        let drawn = rendered(DEPLOYMENTS, &[deployment()], &output("ID", false, Form::Json)).expect("known columns");
        assert_eq!(serde_json::from_str::<Value>(&drawn).expect("JSON"), json!([deployment()]));
    }

    #[test]
    fn cells_come_from_the_objects_of_the_api() {
        let cells = |columns: &[Column], object: Value, format: &str| {
            rendered(columns, &[object], &output(format, true, Form::Text)).expect("known columns")
        };
        assert_eq!(cells(DEPLOYMENTS, deployment(), "ID,Progress"), "d-1  8/8\n");
        let app = json!({ "active_deployment": { "id": "d-1", "phase": "ACTIVE" }, "boatyard": { "instances": { "wanted": 1 } } });
        assert_eq!(cells(APPS, app, "Status"), "ACTIVE (no instance serves)\n");
        let instance = json!({ "instance_name": "by-1-shop-web", "boatyard": { "phase": "ready", "restarts": 3, "last_end": { "code": 1 } } });
        assert_eq!(cells(INSTANCES, instance, "Status,Restarts"), "ready  3 (exit code 1)\n");
    }
}
