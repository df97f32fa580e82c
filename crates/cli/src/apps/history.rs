//! Commands about events and runs of jobs.

use serde_json::Value;

use super::queries::pages;
use crate::args::{EventType, Output};
use crate::client::{Client, path_segment};
use crate::columns::{self, EVENTS, JOB_INVOCATIONS};
use crate::exit::Exit;

pub async fn list_job_invocations(
    client: &Client,
    app: &str,
    jobs: &[String],
    deployment: Option<&str>,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::select(JOB_INVOCATIONS, &output.format)?;
    let filter = job_filter(jobs, deployment);
    let all = pages(client, &format!("{}/job-invocations", app_path(app)), &filter, "job_invocations").await?;
    columns::print(JOB_INVOCATIONS, &all, output)?;
    Ok(Exit::Done)
}

fn job_filter(jobs: &[String], deployment: Option<&str>) -> String {
    let jobs = jobs.iter().filter(|it| !it.is_empty()).map(|it| format!("&job_names={}", path_segment(it)));
    let deployment = deployment.map(|it| format!("&deployment_id={}", path_segment(it)));
    deployment.into_iter().chain(jobs).collect()
}

pub async fn get_job_invocation(client: &Client, app: &str, invocation: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(JOB_INVOCATIONS, &output.format)?;
    let answer = client.get(&invocation_path(app, invocation)).await?;
    print_invocation(answer, output)
}

pub async fn cancel_job_invocation(
    client: &Client,
    app: &str,
    invocation: &str,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::select(JOB_INVOCATIONS, &output.format)?;
    let answer = client.post(&format!("{}/cancel", invocation_path(app, invocation)), &Value::Null).await?;
    print_invocation(answer, output)
}

fn print_invocation(mut answer: Value, output: &Output) -> anyhow::Result<Exit> {
    columns::print(JOB_INVOCATIONS, &[answer["job_invocation"].take()], output)?;
    Ok(Exit::Done)
}

pub async fn list_events(client: &Client, app: &str, types: &[EventType], output: &Output) -> anyhow::Result<Exit> {
    columns::select(EVENTS, &output.format)?;
    let filter: String = types.iter().map(|it| format!("&event_types={}", it.api_name())).collect();
    let all = pages(client, &format!("{}/events", app_path(app)), &filter, "events").await?;
    columns::print(EVENTS, &all, output)?;
    Ok(Exit::Done)
}

pub async fn get_event(client: &Client, app: &str, event: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(EVENTS, &output.format)?;
    let answer = client.get(&event_path(app, event)).await?;
    print_event(answer, output)
}

pub async fn cancel_event(client: &Client, app: &str, event: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(EVENTS, &output.format)?;
    let answer = client.post(&format!("{}/cancel", event_path(app, event)), &Value::Null).await?;
    print_event(answer, output)
}

fn print_event(mut answer: Value, output: &Output) -> anyhow::Result<Exit> {
    columns::print(EVENTS, &[answer["event"].take()], output)?;
    Ok(Exit::Done)
}

fn app_path(app: &str) -> String {
    format!("/v2/apps/{}", path_segment(app))
}

fn event_path(app: &str, event: &str) -> String {
    format!("{}/events/{}", app_path(app), path_segment(event))
}

fn invocation_path(app: &str, invocation: &str) -> String {
    format!("{}/job-invocations/{}", app_path(app), path_segment(invocation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_filtered_by_deployment_and_by_every_job() {
        assert_eq!(job_filter(&[], None), "");
        let jobs = ["cron".to_owned(), "a&b".to_owned(), String::new()];
        assert_eq!(job_filter(&jobs, Some("d-1")), "&deployment_id=d-1&job_names=cron&job_names=a%26b");
    }
}
