use controller::view::LogEntry;
use controller_fake::{FakeControl, samples};

use super::{FIRST_BYTES, FIRST_LINES, LINE_MARKUP, STREAMS_PER_QUOTA, newest};
use crate::tests::Panel;

#[tokio::test]
async fn the_page_shows_the_last_lines_and_the_choices() {
    let panel = Panel::new(FakeControl::default()).await;
    let answer = panel.get("/apps/shop/logs?component=web&type=build&deployment=2&tail=7").await;
    assert_eq!(answer.status, 200);
    let call = format!("logs Some(\"{}\") Some(\"web\") Build follow=false tail=Some(7)", samples::deployment_id(2));
    assert!(panel.control.calls().contains(&call), "{:?}", panel.control.calls());
    for part in [
        "line 1",
        "line 2",
        "<option value=\"web\" selected>web</option>",
        "<option value=\"build\" selected>Build</option>",
        "<option value=\"2\" selected>2: restart of all, deploying</option>",
        "href=\"/apps/shop/logs/download?component=web&amp;type=build&amp;deployment=2\"",
        "data-stream=\"/apps/shop/logs/stream?component=web&amp;type=build&amp;deployment=2\"",
    ] {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_an_error_in_its_place() {
    let panel = Panel::new(FakeControl::default()).await;
    let answer = panel.get("/apps/shop/logs?component=wrk").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("no component &quot;wrk&quot;. Did you mean &quot;worker&quot;?"), "{}", answer.body);
    assert!(answer.body.contains("<option value=\"wrk\" selected>"), "the choice stays");
    panel.refuse("<b>later</b>");
    let answer = panel.get("/apps/shop/logs?component=%3Cscript%3E").await;
    assert!(answer.body.contains("&lt;b&gt;later&lt;/b&gt;") && !answer.body.contains("<script>"), "{}", answer.body);
}

#[tokio::test]
async fn a_wrong_choice_is_refused() {
    let panel = Panel::new(FakeControl::default()).await;
    for (query, status, says) in [
        ("type=other", 400, "the type of a log is run, build, deploy or run_restarted"),
        ("deployment=7", 404, "no deployment 7"),
    ] {
        let answer = panel.get(&format!("/apps/shop/logs?{query}")).await;
        assert!(answer.status == status && answer.body.contains(says), "{query}: {} {}", answer.status, answer.body);
    }
    assert_eq!(panel.get("/apps/other/logs").await.status, 404);
}

#[tokio::test]
async fn the_stream_sends_lines_or_says_why_there_are_none() {
    let panel = Panel::new(FakeControl::default()).await;
    let answer = panel.get("/apps/shop/logs/stream?type=run").await;
    assert!(
        answer.body.starts_with("event: lines\ndata: [[\"2026-03-01T10:00:01Z\",\"web\",\"line 1\"],"),
        "{}",
        answer.body
    );
    assert!(panel.control.calls().contains(&"logs None None Run follow=true tail=Some(500)".into()));
    for query in ["component=wrk", "deployment=7", "type=other"] {
        let answer = panel.get(&format!("/apps/shop/logs/stream?{query}")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.starts_with("event: end\ndata: {\"failed\":true,"), "{query}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_page_counts_as_a_stream_while_it_reads_its_lines() {
    let panel = Panel::new(FakeControl::default()).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_PER_QUOTA {
        streams.push(panel.open("/apps/shop/logs/stream").await);
    }
    let calls = panel.control.calls().len();
    let page = panel.get("/apps/shop/logs").await;
    assert!(
        page.status == 200 && page.body.contains("log streams of this session or its token are open"),
        "{}",
        page.body
    );
    assert!(!panel.control.calls()[calls..].iter().any(|it| it.starts_with("logs")), "no line is read");
    streams.pop();
    assert!(panel.get("/apps/shop/logs").await.body.contains("line 1"));
    assert!(panel.get("/apps/shop/logs").await.body.contains("line 1"), "the page leaves nothing open");
}

#[tokio::test]
async fn a_token_for_another_app_reads_no_logs() {
    let panel = Panel::with_token(FakeControl::default(), "blog-reader").await;
    for path in ["logs", "logs/download"] {
        assert_eq!(panel.get(&format!("/apps/shop/{path}")).await.status, 404, "{path}");
    }
    assert!(panel.control.calls().iter().all(|it| !it.starts_with("logs")), "{:?}", panel.control.calls());
}

fn line(second: u32, text: &str) -> LogEntry {
    let timestamp = format!("2026-03-01T10:00:{second:02}Z");
    LogEntry { component: "web".into(), timestamp, text: text.into() }
}

#[test]
fn the_page_shows_the_newest_lines_of_all_instances_in_order() {
    let texts = |lines: Vec<LogEntry>| lines.into_iter().map(|it| it.text).collect::<Vec<_>>();
    let lines = vec![line(1, "a"), line(3, "c"), line(2, "b"), line(4, "d")];
    assert_eq!(texts(newest(lines.clone(), 3)), ["b", "c", "d"]);
    assert_eq!(texts(newest(lines, 9)), ["a", "b", "c", "d"]);
    let long = "x".repeat(FIRST_BYTES - 1);
    assert_eq!(texts(newest(vec![line(1, &long), line(2, "b"), line(3, "c")], 9)), ["b", "c"]);
    let longer = "x".repeat(FIRST_BYTES + 1);
    let cut = newest(vec![line(1, "a"), line(2, &longer)], 9);
    let kept = FIRST_BYTES - 2 * LINE_MARKUP;
    let expected = format!("{}… (221 more bytes. The download has the whole line)", &longer[..kept]);
    assert_eq!(texts(cut), [expected], "the newest line is always there");
    let wide = newest(vec![line(1, &"ä".repeat(FIRST_BYTES))], 9);
    assert!(wide[0].text.len() <= FIRST_BYTES && wide[0].text.contains("ä… ("), "{}", wide[0].text.len());
    let many = |limit| newest((0..59).cycle().take(2000).map(|it| line(it, "a")).collect(), limit).len();
    assert_eq!((many(100), many(FIRST_LINES)), (100, FIRST_BYTES / (LINE_MARKUP + 1)));
}
