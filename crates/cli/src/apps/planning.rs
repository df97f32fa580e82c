//! What would be done, shown before it is done.

use anyhow::{Context, bail};
use app_spec::AppSpec;
use serde_json::{Value, json};

use crate::client::{Client, part};
use crate::exit::Exit;
use crate::say;
use crate::spec::wire;

/// Shows what creating an app would do. Errors: those of creating it.
pub async fn create(client: &Client, spec: &AppSpec) -> anyhow::Result<Exit> {
    told(client.post("/v2/apps?dry_run=true", &json!({ "spec": wire(spec) })).await?)
}

/// Shows what an update would change in the spec and which steps it would take. Errors: those of the update.
pub async fn update(client: &Client, app: &str, spec: &AppSpec) -> anyhow::Result<Exit> {
    let path = format!("/v2/apps/{}?dry_run=true", part(app));
    let answer = client.put(&path, &json!({ "spec": wire(spec) })).await?;
    say::result(&say::plain(&differences(&answer)));
    told(answer)
}

/// As [`create`], or as [`update`] of `app`, for a spec whose values are still to be given: they are named.
pub async fn propose(client: &Client, app: Option<&str>, spec: &AppSpec) -> anyhow::Result<Exit> {
    let answer = client.post("/v2/apps/propose", &json!({ "spec": wire(spec), "app_id": app })).await?;
    if answer["app_name_available"] == false {
        let name = &spec.name;
        bail!(
            "an app named {name} exists already; what an update of it would do: `boatyard apps propose --app {name} --spec …`"
        );
    }
    if app.is_some() {
        say::result(&say::plain(&differences(&answer)));
    }
    let needed = needed(&answer);
    if !needed.is_empty() {
        say::note(&say::plain(&format!("To be given first, in the spec or by `--env KEY=value`: {needed}")));
    }
    told(answer)
}

/// One line for each field that would change.
fn differences(answer: &Value) -> String {
    match &texts(answer, "changes")[..] {
        [] => "No field differs.\n".into(),
        changes => changes.iter().map(|it| format!("{it}\n")).collect(),
    }
}

fn needed(answer: &Value) -> String {
    texts(answer, "needs_values").join(", ")
}

fn texts<'a>(answer: &'a Value, field: &str) -> Vec<&'a str> {
    let list = answer.pointer("/boatyard/plan").and_then(|plan| plan[field].as_array());
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Prints the steps that would be taken.
pub fn told(answer: Value) -> anyhow::Result<Exit> {
    answer.pointer("/boatyard/plan/steps").context("the API sent no plan")?;
    let steps = texts(&answer, "steps");
    let lines = steps.iter().enumerate().map(|(index, step)| format!("{:>3}. {}\n", index + 1, say::plain(step)));
    say::result(&lines.collect::<String>());
    say::note("Nothing was done.");
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_told_field_by_field() {
        let answer =
            json!({"boatyard": {"plan": {"changes": ["~ services.web.instance_count: 3 → 1", "+ workers.mill"]}}});
        assert_eq!(differences(&answer), "~ services.web.instance_count: 3 → 1\n+ workers.mill\n");
        assert_eq!(differences(&json!({"boatyard": {"plan": {"changes": []}}})), "No field differs.\n");
    }

    #[test]
    fn what_is_to_be_given_is_named() {
        let answer = json!({"boatyard": {"plan": {"needs_values": ["A of web (services[0].envs[0].value)", "B (envs[0].value)"]}}});
        assert_eq!(needed(&answer), "A of web (services[0].envs[0].value), B (envs[0].value)");
        assert_eq!(needed(&json!({"boatyard": {"plan": {"needs_values": []}}})), "");
    }
}
