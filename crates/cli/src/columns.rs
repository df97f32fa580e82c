//! Columns for `--format ID,Status`: doctl's columns and a few more. Case, dots, blanks and dashes in names are ignored.

mod catalog;
mod history;

use present::alert::Alert;
use present::{App, Deployment, Instance};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use catalog::{BUILDPACKS, INSTANCE_SIZES, PROPOSAL, REGIONS, TIERS};
pub use history::{EVENTS, JOB_INVOCATIONS};

use crate::args::Output;
use crate::exit::UsageError;
use crate::output;
use crate::table;

/// A column: its name in `--format`, its heading, and its cell for an object.
pub struct Column {
    pub name: &'static str,
    pub heading: &'static str,
    /// Whether it is shown without `--format`.
    pub shown_by_default: bool,
    pub cell: fn(&Value) -> String,
}

const fn default_column(name: &'static str, heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { name, heading, shown_by_default: true, cell }
}

const fn extra_column(name: &'static str, heading: &'static str, cell: fn(&Value) -> String) -> Column {
    Column { name, heading, shown_by_default: false, cell }
}

pub const APPS: &[Column] = &[
    default_column("ID", "ID", |it| text(it, "/id")),
    default_column("Spec.Name", "Spec Name", |it| text(it, "/spec/name")),
    default_column("Status", "Status", |it| view::<App>(it).status()),
    default_column("DefaultIngress", "Default Ingress", |it| text(it, "/default_ingress")),
    extra_column("ActiveDeployment.ID", "Active Deployment ID", |it| text(it, "/active_deployment/id")),
    extra_column("InProgressDeployment.ID", "In Progress Deployment ID", |it| text(it, "/in_progress_deployment/id")),
    extra_column("PinnedDeployment.ID", "Pinned Deployment ID", |it| text(it, "/pinned_deployment/id")),
    extra_column("Created", "Created At", |it| text(it, "/created_at")),
    default_column("Updated", "Updated At", |it| text(it, "/updated_at")),
    extra_column("Name", "Spec Name", |it| text(it, "/spec/name")),
    extra_column("Phase", "Phase", |it| view::<App>(it).phase().to_owned()),
    extra_column("ProjectID", "Project ID", |it| text(it, "/project_id")),
];

pub const DEPLOYMENTS: &[Column] = &[
    default_column("ID", "ID", |it| text(it, "/id")),
    default_column("Number", "Number", |it| text(it, "/boatyard/number")),
    default_column("Cause", "Cause", |it| view::<Deployment>(it).cause_with_token()),
    default_column("Progress", "Progress", |it| view::<Deployment>(it).progress.summary()),
    default_column("Phase", "Phase", |it| text(it, "/phase")),
    extra_column("Status", "Status", |it| text(it, "/phase")),
    default_column("Created", "Created At", |it| text(it, "/created_at")),
    default_column("Updated", "Updated At", |it| text(it, "/updated_at")),
    extra_column("Token", "Token", |it| text(it, "/boatyard/token")),
];

pub const TOKENS: &[Column] = &[
    default_column("ID", "ID", |it| text(it, "/id")),
    default_column("Name", "Name", |it| text(it, "/name")),
    default_column("Scope", "Scope", |it| text(it, "/scope")),
    default_column("App", "App", only_app),
    default_column("Created", "Created At", |it| text(it, "/created_at")),
    default_column("Expires", "Expires At", expiry),
];

/// The certificates of host names.
pub const CERTIFICATES: &[Column] = &[
    default_column("Name", "Name", |it| text(it, "/name")),
    default_column("App", "App", |it| text(it, "/app")),
    default_column("Source", "Source", |it| text(it, "/source")),
    default_column("State", "State", |it| text(it, "/state")),
    default_column("Expires", "Expires At", |it| text(it, "/expires_at")),
    default_column("NextAttempt", "Next Attempt", |it| text(it, "/next_attempt_at")),
    default_column("Reason", "Reason", |it| text(it, "/reason")),
];

/// Logins for registries.
pub const REGISTRIES: &[Column] = &[
    default_column("Host", "Host", |it| text(it, "/host")),
    default_column("Username", "Username", |it| text(it, "/username")),
    default_column("Added", "Added At", |it| text(it, "/added_at")),
];

/// The columns of a token that was just created.
pub const NEW_TOKEN: &[Column] = &[
    default_column("Token", "Token", |it| text(it, "/token")),
    default_column("ID", "ID", |it| text(it, "/id")),
    default_column("Name", "Name", |it| text(it, "/name")),
    default_column("Scope", "Scope", |it| text(it, "/scope")),
    default_column("App", "App", only_app),
    default_column("Expires", "Expires At", expiry),
];

/// The columns of a login for a git server.
pub const SOURCES: &[Column] = &[
    default_column("Host", "Host", |it| text(it, "/host")),
    default_column("Protocol", "Protocol", |it| text(it, "/protocol")),
    default_column("Username", "Username", |it| text(it, "/username")),
    default_column("Fingerprints", "Pinned Host Keys", fingerprints),
    default_column("Added", "Added At", |it| text(it, "/added_at")),
];

pub const WEBHOOKS: &[Column] = &[
    default_column("Name", "Name", |it| text(it, "/name")),
    default_column("Address", "Address", |it| text(it, "/address")),
    default_column("App", "App", only_app),
    default_column("Created", "Created At", |it| text(it, "/created_at")),
    default_column("LastDelivery", "Last Delivery", |it| text(it, "/deliveries/0/at")),
    default_column("Refused", "Refused", |it| text(it, "/refused")),
];

/// The columns of a webhook that was just added.
pub const NEW_WEBHOOK: &[Column] = &[
    default_column("Address", "Address", |it| text(it, "/address")),
    default_column("Secret", "Secret", |it| text(it, "/secret")),
    default_column("Name", "Name", |it| text(it, "/name")),
    default_column("App", "App", only_app),
];

pub const AUDIT: &[Column] = &[
    default_column("Time", "Time", |it| text(it, "/at")),
    default_column("Token", "Token", |it| text(it, "/token_name")),
    extra_column("TokenID", "Token ID", |it| text(it, "/token_id")),
    default_column("Action", "Action", |it| text(it, "/action")),
    default_column("App", "App", |it| text(it, "/app_name")),
    extra_column("AppID", "App ID", |it| text(it, "/app_id")),
    default_column("Subject", "Subject", |it| text(it, "/subject")),
    default_column("Deployment", "Deployment ID", |it| text(it, "/deployment_id")),
    default_column("Outcome", "Outcome", outcome),
    default_column("Source", "Source Address", |it| text(it, "/source_address")),
];

pub const UNKNOWN: &[Column] = &[
    default_column("App", "App ID", |it| text(it, "/app")),
    default_column("Name", "App Name", |it| text(it, "/name")),
    default_column("Hosts", "Hosts", hosts),
    default_column("Container", "Container", |it| text(it, "/container/name")),
    default_column("Component", "Component", |it| text(it, "/container/component")),
    default_column("Role", "Role", |it| text(it, "/container/role")),
    default_column("Running", "Running", |it| text(it, "/container/running")),
    default_column("Routed", "Routed", |it| text(it, "/container/routed")),
];

pub const ALERTS: &[Column] = &[
    default_column("ID", "ID", |it| text(it, "/id")),
    default_column("Spec.Rule", "Alert Rule", |it| text(it, "/spec/rule")),
    default_column("Trigger", "Alert Trigger", |it| view::<Alert>(it).trigger()),
    default_column("ComponentName", "Component Name", |it| text(it, "/component_name")),
    default_column("Emails", "Number Of Emails", |it| count(it, "/emails")),
    default_column("SlackWebhooks", "Number Of Slack Webhooks", |it| count(it, "/slack_webhooks")),
    default_column("Spec.Disabled", "Alert Disabled?", |it| {
        it["spec"]["disabled"].as_bool().unwrap_or(false).to_string()
    }),
];

pub const INSTANCES: &[Column] = &[
    default_column("Name", "Name", |it| text(it, "/instance_name")),
    default_column("ComponentName", "Component Name", |it| text(it, "/component_name")),
    default_column("ComponentType", "Component Type", |it| text(it, "/component_type")),
    default_column("InstanceAlias", "Instance Alias", |it| text(it, "/instance_alias")),
    default_column("Status", "Status", |it| view::<Instance>(it).status()),
    extra_column("Phase", "Phase", |it| text(it, "/boatyard/phase")),
    extra_column("ContainerID", "Container ID", |it| text(it, "/boatyard/container_id")),
    default_column("Started", "Started At", |it| text(it, "/boatyard/started_at")),
    default_column("Restarts", "Restarts", |it| view::<Instance>(it).restarts()),
];

pub const CONTEXTS: &[Column] = &[
    default_column("Name", "Name", |it| text(it, "/name")),
    default_column("ApiUrl", "API URL", |it| text(it, "/api_url")),
    default_column("Current", "Current", |it| if it["current"] == true { "current".into() } else { String::new() }),
    extra_column("CertificateAuthority", "Certificate Authority", |it| text(it, "/certificate_authority")),
];

/// The columns of `--format`, or the default ones. Errors: [`UsageError`] for an unknown name.
pub fn select<'a>(all: &'a [Column], format: &[String]) -> Result<Vec<&'a Column>, UsageError> {
    let names: Vec<_> = format.iter().filter(|name| !name.trim().is_empty()).collect();
    if names.is_empty() {
        return Ok(all.iter().filter(|column| column.shown_by_default).collect());
    }
    names.into_iter().map(|name| find(all, name)).collect()
}

fn find<'a>(all: &'a [Column], name: &str) -> Result<&'a Column, UsageError> {
    let normalized = normalized(name);
    let by_name = all.iter().find(|column| self::normalized(column.name) == normalized);
    let found = by_name.or_else(|| all.iter().find(|column| self::normalized(column.heading) == normalized));
    found.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|column| column.name).collect();
        UsageError(format!("there is no column {name:?}. Available columns: {}", names.join(",")))
    })
}

fn normalized(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Prints objects of the API as a table or, like doctl, as a JSON array, or as a YAML list.
pub fn print(all: &[Column], objects: &[Value], output: &Output) -> anyhow::Result<()> {
    output::result(&render_objects(all, objects, output)?);
    Ok(())
}

fn render_objects(all: &[Column], objects: &[Value], output: &Output) -> Result<String, UsageError> {
    let columns = select(all, &output.format)?;
    if let Some(document) = output.output.document(&Value::from(objects)) {
        return Ok(document);
    }
    let headings: Vec<_> = columns.iter().map(|column| column.heading).collect();
    let rows: Vec<Vec<String>> =
        objects.iter().map(|it| columns.iter().map(|column| (column.cell)(it)).collect()).collect();
    Ok(table::render((!output.no_header).then_some(&headings[..]), &rows))
}

/// A field as text; empty if it is absent.
fn text(object: &Value, pointer: &str) -> String {
    match object.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn only_app(token: &Value) -> String {
    let name = token["app_name"].as_str().unwrap_or("all");
    if token["app_deleted"] == true { format!("{name} (deleted)") } else { name.to_owned() }
}

fn fingerprints(login: &Value) -> String {
    let all = login["fingerprints"].as_array().into_iter().flatten().filter_map(Value::as_str);
    all.collect::<Vec<_>>().join(", ")
}

fn expiry(token: &Value) -> String {
    match (token["expired"].as_bool(), token["expires_at"].as_str()) {
        (Some(true), Some(at)) => format!("{at} (expired)"),
        (_, at) => at.unwrap_or("never").to_owned(),
    }
}

/// `accepted`, or `refused (403)`.
fn outcome(request: &Value) -> String {
    let outcome = text(request, "/outcome");
    if outcome == "refused" { format!("{outcome} ({})", text(request, "/status")) } else { outcome }
}

/// The length of a list.
fn count(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len).to_string()
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
    use crate::args::OutputFormat;
    use serde_json::json;

    fn deployment() -> Value {
        json!({ "id": "d-1", "phase": "ACTIVE", "progress": { "success_steps": 8, "total_steps": 8 }, "boatyard": { "number": 3 } })
    }

    fn output(format: &str, no_header: bool, output: OutputFormat) -> Output {
        Output { format: format.split(',').map(str::to_owned).collect(), no_header, output }
    }

    #[test]
    fn status_means_phase_and_names_ignore_case() {
        let printed = render_objects(DEPLOYMENTS, &[deployment()], &output("id,STATUS", false, OutputFormat::Text))
            .expect("known columns");
        assert_eq!(printed, "ID   Status\nd-1  ACTIVE\n");
        let printed = render_objects(DEPLOYMENTS, &[deployment()], &output("ID,Phase", true, OutputFormat::Text))
            .expect("known columns");
        assert_eq!(printed, "d-1  ACTIVE\n");
    }

    #[test]
    fn names_and_headings_of_doctl_both_work() {
        for name in ["Spec.Name", "spec name", "SpecName"] {
            assert_eq!(select(APPS, &[name.to_owned()]).expect("known")[0].heading, "Spec Name");
        }
        for name in ["ID", "ActiveDeployment.ID", "InProgressDeployment.ID", "DefaultIngress", "Created", "Updated"] {
            assert!(select(APPS, &[name.to_owned()]).is_ok(), "{name}");
        }
    }

    #[test]
    fn an_unknown_column_is_an_error_that_lists_the_columns() {
        let error = select(DEPLOYMENTS, &["Stat".to_owned()]).map(|_| ()).expect_err("unknown");
        assert!(error.to_string().contains("\"Stat\"") && error.to_string().contains("Status"), "{error}");
    }

    #[test]
    fn json_output_is_an_array_of_the_objects() {
        let printed = render_objects(DEPLOYMENTS, &[deployment()], &output("ID", false, OutputFormat::Json))
            .expect("known columns");
        assert_eq!(serde_json::from_str::<Value>(&printed).expect("JSON"), json!([deployment()]));
    }

    #[test]
    fn yaml_holds_the_same_objects_as_json() {
        let object = json!({
            "id": "0123", "cause": "on", "progress": { "steps": 2, "tag": "1.10" },
            "texts": ["", "~", "null", "1e3", "- a", "a: b # c", " a ", "two\nlines\n", "\t\u{7f}\u{2028}\"é", "x y ".repeat(99)],
            "others": [null, true, -1, 18446744073709551615_u64, 1.5e300, [], {}],
        });
        let rendered =
            render_objects(DEPLOYMENTS, std::slice::from_ref(&object), &output("ID", false, OutputFormat::Yaml))
                .expect("known columns");
        assert!(rendered.starts_with("- "), "{rendered}");
        assert_eq!(serde_yaml::from_str::<Value>(&rendered).expect("YAML"), json!([object]));
    }

    #[test]
    fn cells_come_from_the_objects_of_the_api() {
        let cells = |columns: &[Column], object: Value, format: &str| {
            render_objects(columns, &[object], &output(format, true, OutputFormat::Text)).expect("known columns")
        };
        assert_eq!(cells(DEPLOYMENTS, deployment(), "ID,Progress"), "d-1  8/8\n");
        let by_ci = json!({ "id": "d-1", "phase": "ACTIVE", "cause": "manual", "boatyard": { "token": "ci" } });
        assert_eq!(cells(DEPLOYMENTS, by_ci, "Cause,Token"), "manual, by ci  ci\n");
        let token = json!({ "name": "ci", "expired": true, "expires_at": "2026-03-01T10:00:00.000Z" });
        assert_eq!(cells(TOKENS, token, "Name,App,Expires"), "ci  all  2026-03-01T10:00:00.000Z (expired)\n");
        assert_eq!(cells(TOKENS, json!({ "app_name": "shop", "expired": false }), "App,Expires"), "shop  never\n");
        assert_eq!(cells(WEBHOOKS, json!({ "app_name": "shop", "app_deleted": true }), "App"), "shop (deleted)\n");
        let refused = json!({ "token_name": "ci", "outcome": "refused", "status": 403 });
        assert_eq!(cells(AUDIT, refused, "Token,Outcome"), "ci  refused (403)\n");
        assert_eq!(cells(AUDIT, json!({ "outcome": "accepted", "status": 200 }), "Outcome"), "accepted\n");
        let app = json!({ "active_deployment": { "id": "d-1", "phase": "ACTIVE" }, "boatyard": { "instances": { "wanted": 1 } } });
        assert_eq!(cells(APPS, app, "Status"), "ACTIVE (no instance serves)\n");
        let instance = json!({ "instance_name": "by-1-shop-web", "boatyard": { "phase": "ready", "restarts": 3, "last_end": { "code": 1 } } });
        assert_eq!(cells(INSTANCES, instance, "Status,Restarts"), "ready  3 (exit code 1)\n");
    }
}
