//! `boatyard apps logs`: requests the address of a log stream and prints its lines.

use futures::StreamExt;
use serde_json::Value;

use crate::args::LogSource;
use crate::client::{Client, path_segment};
use crate::exit::Exit;
use crate::output;

/// Limit of the line buffer. The server cuts lines at 60 KiB.
const MAX_LINE_BYTES: usize = 1024 * 1024;

pub struct LogQuery {
    pub app: String,
    pub component: Option<String>,
    pub source: LogSource,
    pub follow: bool,
    /// Negative: all lines.
    pub tail: Option<i64>,
}

impl LogQuery {
    fn path(&self) -> String {
        let app = path_segment(&self.app);
        let component = self.component.as_deref().map(path_segment);
        let LogSource { deployment, kind, job_invocation, event_id } = &self.source;
        if let Some(event) = event_id {
            let event = path_segment(event);
            return format!("/v2/apps/{app}/events/{event}/logs?type=AUTOSCALE_EVENT{}", self.optional_parameters());
        }
        if let (Some(invocation), Some(job)) = (job_invocation, &component) {
            let invocation = path_segment(invocation);
            let path = format!("/v2/apps/{app}/jobs/{job}/invocations/{invocation}/logs");
            return format!("{path}?type=JOB_INVOCATION{}", self.optional_parameters());
        }
        let deployment = deployment.as_ref().map(|it| format!("/deployments/{}", path_segment(it))).unwrap_or_default();
        let component = component.map(|it| format!("&component_name={it}")).unwrap_or_default();
        let (kind, follow, tail) = (kind.api_name(), self.follow, self.tail.unwrap_or(-1));
        format!("/v2/apps/{app}{deployment}/logs?type={kind}&follow={follow}&tail_lines={tail}{component}")
    }

    /// Runs of jobs and events get these parameters only if they are set, as from doctl.
    fn optional_parameters(&self) -> String {
        let follow = if self.follow { "&follow=true" } else { "" };
        let tail = self.tail.filter(|it| *it >= 0).map(|it| format!("&tail_lines={it}")).unwrap_or_default();
        format!("{follow}{tail}")
    }
}

pub async fn run(client: &Client, query: &LogQuery, no_prefix: bool) -> anyhow::Result<Exit> {
    let answer = client.get(&query.path()).await?;
    // A log that has ended may have only an address for stored lines.
    let addresses = [&answer["live_url"], &answer["historic_urls"][0]];
    let Some(url) = addresses.into_iter().filter_map(Value::as_str).find(|it| !it.is_empty()) else {
        output::note("There are no such log lines");
        return Ok(Exit::Done);
    };
    let mut stream = client.stream(url).await?;
    let mut lines = LineBuffer::default();
    while let Some(bytes) = stream.next().await {
        for line in lines.push(&bytes?) {
            print(&line, no_prefix);
        }
    }
    if let Some(rest) = lines.remainder() {
        print(&rest, no_prefix);
    }
    Ok(Exit::Done)
}

fn print(line: &str, no_prefix: bool) {
    let line = if no_prefix { without_prefix(line) } else { line };
    output::result(&format!("{}\n", output::printable(line)));
}

/// Removes the first two words of `COMPONENT TIME text`, like doctl.
fn without_prefix(line: &str) -> &str {
    line.splitn(3, ' ').nth(2).unwrap_or(line)
}

/// Joins chunks into lines.
#[derive(Default)]
struct LineBuffer(Vec<u8>);

impl LineBuffer {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(bytes);
        let mut complete = Vec::new();
        let mut from = 0;
        while let Some(end) = self.0[from..].iter().position(|byte| *byte == b'\n') {
            complete.push(String::from_utf8_lossy(&self.0[from..from + end]).into_owned());
            from += end + 1;
        }
        self.0.drain(..from);
        if self.0.len() > MAX_LINE_BYTES {
            complete.extend(self.remainder());
        }
        complete
    }

    fn remainder(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.0);
        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::LogType;

    #[test]
    fn the_query_equals_doctls() {
        let source = LogSource { deployment: None, kind: LogType::Run, job_invocation: None, event_id: None };
        let mut query =
            LogQuery { app: "shop".into(), component: Some("web".into()), source, follow: true, tail: None };
        query.source.deployment = Some("41".into());
        assert_eq!(
            query.path(),
            "/v2/apps/shop/deployments/41/logs?type=RUN&follow=true&tail_lines=-1&component_name=web"
        );
        query.source.deployment = None;
        query.tail = Some(5);
        assert_eq!(query.path(), "/v2/apps/shop/logs?type=RUN&follow=true&tail_lines=5&component_name=web");
        query.source.job_invocation = Some("inv".into());
        let invocation = "/v2/apps/shop/jobs/web/invocations/inv/logs?type=JOB_INVOCATION";
        assert_eq!(query.path(), format!("{invocation}&follow=true&tail_lines=5"));
        (query.follow, query.tail) = (false, Some(-1));
        assert_eq!(query.path(), invocation);
        query.source = LogSource { job_invocation: None, event_id: Some("e".into()), ..query.source };
        assert_eq!(query.path(), "/v2/apps/shop/events/e/logs?type=AUTOSCALE_EVENT");
    }

    #[test]
    fn lines_are_complete_wherever_chunks_end() {
        let mut lines = LineBuffer::default();
        assert!(lines.push("web t gr".as_bytes()).is_empty());
        assert!(lines.push(&[0xc3]).is_empty());
        assert_eq!(lines.push(&[0xbc, b'n', b'\n', b'x']), ["web t grün"]);
        assert_eq!(lines.remainder().as_deref(), Some("x"));
        assert_eq!(lines.remainder(), None);
    }

    #[test]
    fn the_prefix_has_two_words() {
        assert_eq!(without_prefix("web 2026-03-01T10:00:00Z GET / 200"), "GET / 200");
        assert_eq!(without_prefix("short line"), "short line");
    }
}
