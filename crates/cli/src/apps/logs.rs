//! `boatyard apps logs`: an address is asked for, opened, and copied line by line.

use anyhow::Context;
use futures::StreamExt;

use crate::args::LogType;
use crate::client::{Client, part};
use crate::exit::Exit;
use crate::say;

/// The server cuts lines at 60 KiB; what is longer than this is not one of its lines.
const LONGEST_LINE: usize = 1024 * 1024;

pub struct Question {
    pub app: String,
    pub component: Option<String>,
    pub deployment: Option<String>,
    pub kind: LogType,
    pub follow: bool,
    pub tail: Option<u32>,
}

impl Question {
    fn path(&self) -> String {
        let of_deployment = self.deployment.as_ref().map(|it| format!("/deployments/{}", part(it))).unwrap_or_default();
        let component = self.component.as_ref().map(|it| format!("&component_name={}", part(it))).unwrap_or_default();
        let tail = self.tail.map_or(-1, i64::from);
        let (app, kind, follow) = (part(&self.app), self.kind.on_the_wire(), self.follow);
        format!("/v2/apps/{app}{of_deployment}/logs?type={kind}&follow={follow}&tail_lines={tail}{component}")
    }
}

pub async fn run(client: &Client, question: &Question, no_prefix: bool) -> anyhow::Result<Exit> {
    let answer = client.get(&question.path()).await?;
    let url = answer["live_url"].as_str().context("the API sent no address for the log")?;
    let mut stream = client.stream(url).await?;
    let mut lines = Lines::default();
    while let Some(bytes) = stream.next().await {
        for line in lines.add(&bytes?) {
            print(&line, no_prefix);
        }
    }
    if let Some(rest) = lines.rest() {
        print(&rest, no_prefix);
    }
    Ok(Exit::Done)
}

fn print(line: &str, no_prefix: bool) {
    let line = if no_prefix { without_prefix(line) } else { line };
    say::result(&format!("{}\n", say::plain(line)));
}

/// `COMPONENT TIME text` without the first two words, as doctl cuts it.
fn without_prefix(line: &str) -> &str {
    line.splitn(3, ' ').nth(2).unwrap_or(line)
}

/// Lines out of pieces that end anywhere.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0.extend_from_slice(bytes);
        let mut whole = Vec::new();
        let mut from = 0;
        while let Some(end) = self.0[from..].iter().position(|byte| *byte == b'\n') {
            whole.push(String::from_utf8_lossy(&self.0[from..from + end]).into_owned());
            from += end + 1;
        }
        self.0.drain(..from);
        if self.0.len() > LONGEST_LINE {
            whole.extend(self.rest());
        }
        whole
    }

    fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.0);
        (!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_doctls() {
        let mut question = Question {
            app: "shop".into(),
            component: Some("web".into()),
            deployment: Some("41".into()),
            kind: LogType::Run,
            follow: true,
            tail: None,
        };
        assert_eq!(
            question.path(),
            "/v2/apps/shop/deployments/41/logs?type=RUN&follow=true&tail_lines=-1&component_name=web"
        );
        question.deployment = None;
        question.tail = Some(5);
        assert_eq!(question.path(), "/v2/apps/shop/logs?type=RUN&follow=true&tail_lines=5&component_name=web");
    }

    #[test]
    fn lines_are_whole_wherever_the_pieces_end() {
        let mut lines = Lines::default();
        assert!(lines.add("web t gr".as_bytes()).is_empty());
        assert!(lines.add(&[0xc3]).is_empty());
        assert_eq!(lines.add(&[0xbc, b'n', b'\n', b'x']), ["web t grün"]);
        assert_eq!(lines.rest().as_deref(), Some("x"));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn the_prefix_is_two_words() {
        assert_eq!(without_prefix("web 2026-03-01T10:00:00Z GET / 200"), "GET / 200");
        assert_eq!(without_prefix("short line"), "short line");
    }
}
