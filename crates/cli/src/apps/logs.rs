//! `boatyard apps logs`: requests the address of a log stream and prints its lines.

use anyhow::Context;
use futures::StreamExt;

use crate::args::LogType;
use crate::client::{Client, path_segment};
use crate::exit::Exit;
use crate::output;

/// Limit of the line buffer. The server cuts lines at 60 KiB.
const MAX_LINE_BYTES: usize = 1024 * 1024;

pub struct LogQuery {
    pub app: String,
    pub component: Option<String>,
    pub deployment: Option<String>,
    pub kind: LogType,
    pub follow: bool,
    pub tail: Option<u32>,
}

impl LogQuery {
    fn path(&self) -> String {
        let of_deployment =
            self.deployment.as_ref().map(|it| format!("/deployments/{}", path_segment(it))).unwrap_or_default();
        let component =
            self.component.as_ref().map(|it| format!("&component_name={}", path_segment(it))).unwrap_or_default();
        let tail = self.tail.map_or(-1, i64::from);
        let (app, kind, follow) = (path_segment(&self.app), self.kind.api_name(), self.follow);
        format!("/v2/apps/{app}{of_deployment}/logs?type={kind}&follow={follow}&tail_lines={tail}{component}")
    }
}

pub async fn run(client: &Client, query: &LogQuery, no_prefix: bool) -> anyhow::Result<Exit> {
    let answer = client.get(&query.path()).await?;
    let url = answer["live_url"].as_str().context("the API did not send the address of the log")?;
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

    #[test]
    fn the_query_equals_doctls() {
        let mut query = LogQuery {
            app: "shop".into(),
            component: Some("web".into()),
            deployment: Some("41".into()),
            kind: LogType::Run,
            follow: true,
            tail: None,
        };
        assert_eq!(
            query.path(),
            "/v2/apps/shop/deployments/41/logs?type=RUN&follow=true&tail_lines=-1&component_name=web"
        );
        query.deployment = None;
        query.tail = Some(5);
        assert_eq!(query.path(), "/v2/apps/shop/logs?type=RUN&follow=true&tail_lines=5&component_name=web");
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
