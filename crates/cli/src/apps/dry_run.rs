//! Shows what a change would do.

use anyhow::{Context, bail};
use app_spec::AppSpec;
use present::Plan;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{Output, OutputFormat};
use crate::client::{Client, path_segment};
use crate::columns::{self, PROPOSAL};
use crate::exit::Exit;
use crate::output;
use crate::spec::request_json;

/// Shows what creating an app would do. Errors: those of creating it.
pub async fn create(client: &Client, body: &Value) -> anyhow::Result<Exit> {
    print(&client.post("/v2/apps?dry_run=true", body).await?)
}

/// Shows which fields an update would change and which steps it would take. Errors: those of the update.
pub async fn update(client: &Client, app: &str, body: &Value) -> anyhow::Result<Exit> {
    let path = format!("/v2/apps/{}?dry_run=true", path_segment(app));
    print_with_changes(&client.put(&path, body).await?)
}

/// Like [`create`], or like [`update`] of `app`. Also accepts a spec with missing values, and names them. Prints the
/// columns of doctl instead if the caller asks for columns, JSON or YAML.
pub async fn propose(client: &Client, app: Option<&str>, spec: &AppSpec, output: &Output) -> anyhow::Result<Exit> {
    columns::select(PROPOSAL, &output.format)?;
    let body = json!({ "spec": request_json(spec), "app_id": app });
    if output.output != OutputFormat::Text || !output.format.is_empty() {
        // As with doctl, a spec that cannot run here is an error.
        let answer = client.post("/v2/apps/propose", &body).await?;
        match output.output.document(&answer) {
            Some(document) => output::result(&document),
            None => columns::print(PROPOSAL, &[answer], output)?,
        }
        return Ok(Exit::Done);
    }
    let answer = client.post("/v2/apps/propose?report_only=true", &body).await?;
    if answer["app_name_available"] == false {
        let name = &spec.name;
        bail!(
            "an app named {name} exists already. To see what an update would do: boatyard apps propose --app {name} --spec FILE"
        );
    }
    let not_yet = answer["boatyard"]["not_yet"].as_array().into_iter().flatten();
    let not_yet: Vec<_> =
        not_yet.filter_map(|it| Some(format!("{}: {}", it["path"].as_str()?, it["message"].as_str()?))).collect();
    if !not_yet.is_empty() {
        bail!("{}", not_yet.join("\n"));
    }
    let plan = plan(&answer)?;
    if app.is_some() {
        print_lines(&plan.change_lines());
    }
    if let Some(line) = plan.needed_line() {
        output::note(&line);
    }
    print(&answer)
}

/// Prints the fields that a dry run would change, and its steps.
pub fn print_with_changes(answer: &Value) -> anyhow::Result<Exit> {
    print_lines(&plan(answer)?.change_lines());
    print(answer)
}

/// Prints the steps of a dry run.
pub fn print(answer: &Value) -> anyhow::Result<Exit> {
    print_lines(&plan(answer)?.step_lines());
    output::note("Nothing was done.");
    Ok(Exit::Done)
}

fn plan(answer: &Value) -> anyhow::Result<Plan> {
    Plan::deserialize(&answer["boatyard"]["plan"]).context("the API did not send a plan")
}

fn print_lines(lines: &[String]) {
    output::result(&lines.iter().map(|line| output::printable(line) + "\n").collect::<String>());
}
