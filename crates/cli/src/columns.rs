//! `--format ID,Status`: doctl's columns by its names, and a few of ours. Case, dots, blanks and dashes do not matter.

use serde_json::Value;

use crate::args::Output;
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
    usual("Status", "Status", app_status),
    usual("DefaultIngress", "Default Ingress", |it| text(it, "/default_ingress")),
    more("ActiveDeployment.ID", "Active Deployment ID", |it| text(it, "/active_deployment/id")),
    more("InProgressDeployment.ID", "In Progress Deployment ID", |it| text(it, "/in_progress_deployment/id")),
    more("Created", "Created At", |it| text(it, "/created_at")),
    usual("Updated", "Updated At", |it| text(it, "/updated_at")),
    more("Name", "Spec Name", |it| text(it, "/spec/name")),
    more("Phase", "Phase", app_phase),
];

pub const DEPLOYMENTS: &[Column] = &[
    usual("ID", "ID", |it| text(it, "/id")),
    usual("Number", "Number", |it| text(it, "/boatyard/number")),
    usual("Cause", "Cause", |it| text(it, "/cause")),
    usual("Progress", "Progress", progress),
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
    usual("Status", "Status", instance_status),
    more("Phase", "Phase", |it| text(it, "/boatyard/phase")),
    more("ContainerID", "Container ID", |it| text(it, "/boatyard/container_id")),
    usual("Started", "Started At", |it| text(it, "/boatyard/started_at")),
    usual("Restarts", "Restarts", restarts),
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

/// Prints objects as a table, or as a list of the API's own objects in JSON, as doctl does, or in YAML.
pub fn print(all: &[Column], objects: &[Value], output: &Output) -> anyhow::Result<()> {
    say::result(&rendered(all, objects, output)?);
    Ok(())
}

fn rendered(all: &[Column], objects: &[Value], output: &Output) -> Result<String, UsageError> {
    let columns = chosen(all, &output.format)?;
    if let Some(document) = output.output.document(&Value::from(objects)) {
        return Ok(document);
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

/// `5/8`, and how many failed.
fn progress(deployment: &Value) -> String {
    let count = |name: &str| deployment.pointer(&format!("/progress/{name}")).and_then(Value::as_u64).unwrap_or(0);
    match count("error_steps") {
        0 => format!("{}/{}", count("success_steps"), count("total_steps")),
        errors => format!("{}/{} (errors: {errors})", count("success_steps"), count("total_steps")),
    }
}

/// The phase, and whether the instance can start no more processes.
fn instance_status(instance: &Value) -> String {
    let phase = text(instance, "/boatyard/phase");
    let count = |name: &str| instance.pointer(&format!("/boatyard/{name}")).and_then(Value::as_u64);
    match (count("processes"), count("process_limit")) {
        (Some(running), Some(limit)) if running >= limit => format!("{phase} (at its limit of {limit} processes)"),
        _ => phase,
    }
}

/// `3 (out of memory)`: how often a process ended by itself and was started again, and why the last time.
fn restarts(instance: &Value) -> String {
    let count = instance.pointer("/boatyard/restarts").and_then(Value::as_u64).unwrap_or(0);
    let last = instance.pointer("/boatyard/last_end").filter(|it| count > 0 && !it.is_null());
    let why = last.and_then(|it| match (it["out_of_memory"].as_bool(), it["code"].as_i64()) {
        (Some(true), _) => Some("out of memory".to_owned()),
        (_, Some(code)) => Some(format!("exit code {code}")),
        _ => None,
    });
    why.map_or_else(|| count.to_string(), |why| format!("{count} ({why})"))
}

/// The phase, and how many instances serve where it is fewer than are wanted.
fn app_status(app: &Value) -> String {
    let phase = app_phase(app);
    let count = |name: &str| app.pointer(&format!("/boatyard/instances/{name}")).and_then(Value::as_u64).unwrap_or(0);
    match (phase.as_str(), count("ready"), count("wanted")) {
        ("ACTIVE", 0, 1..) => format!("{phase} (no instance serves)"),
        ("ACTIVE", ready, wanted) if ready < wanted => format!("{phase} ({ready} of {wanted} instances serve)"),
        _ => phase,
    }
}

/// What goes on, else what serves.
fn app_phase(app: &Value) -> String {
    if app.pointer("/boatyard/deleting") == Some(&Value::Bool(true)) {
        return "DELETING".into();
    }
    let phases = ["in_progress_deployment", "pending_deployment", "active_deployment"];
    let phase = phases.iter().map(|name| text(app, &format!("/{name}/phase"))).find(|it| !it.is_empty());
    phase.unwrap_or_else(|| "NOT DEPLOYED".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Form;
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
    fn yaml_holds_the_same_objects_as_json() {
        let object = json!({ "id": "0123", "cause": "on", "progress": { "steps": 2, "tag": "1.10" } });
        let drawn = rendered(DEPLOYMENTS, std::slice::from_ref(&object), &output("ID", false, Form::Yaml))
            .expect("known columns");
        assert!(drawn.starts_with("- "), "{drawn}");
        assert_eq!(serde_yaml::from_str::<Value>(&drawn).expect("YAML"), json!([object]));
    }

    #[test]
    fn an_active_app_without_instances_says_so() {
        let app = |ready: u64| json!({ "active_deployment": { "phase": "ACTIVE" }, "boatyard": { "instances": { "ready": ready, "wanted": 2 } } });
        let told = [0, 1, 2].map(|ready| app_status(&app(ready)));
        assert_eq!(told, ["ACTIVE (no instance serves)", "ACTIVE (1 of 2 instances serve)", "ACTIVE"]);
        assert_eq!(app_phase(&app(0)), "ACTIVE");
    }

    #[test]
    fn an_instance_at_its_process_limit_says_so() {
        let of = |running: u64| {
            instance_status(&json!({ "boatyard": { "phase": "ready", "processes": running, "process_limit": 1024 } }))
        };
        assert_eq!([1023, 1024].map(of), ["ready", "ready (at its limit of 1024 processes)"]);
    }

    #[test]
    fn restarts_say_why_the_last_one_was() {
        let of = |last: Value| restarts(&json!({ "boatyard": { "restarts": 3, "last_end": last } }));
        assert_eq!(of(json!({ "out_of_memory": true, "code": 137 })), "3 (out of memory)");
        assert_eq!(of(json!({ "out_of_memory": false, "code": 1 })), "3 (exit code 1)");
        assert_eq!(of(Value::Null), "3");
        assert_eq!(restarts(&json!({})), "0");
    }

    #[test]
    fn failed_steps_are_counted_in_the_progress() {
        let failed = json!({ "progress": { "success_steps": 3, "error_steps": 1, "total_steps": 8 } });
        assert_eq!(progress(&failed), "3/8 (errors: 1)");
    }
}
