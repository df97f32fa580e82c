use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::BodyDataStream;
use axum::extract::Request;
use controller_fake::{FakeControl, TOKEN};
use maud::html;
use tower::ServiceExt;
use web::{BaseUrl, HttpError, sha256};

use super::*;

const AGAIN: Duration = Duration::from_secs(5);

/// A page with two elements, which counts its renderings.
#[derive(Clone, Default)]
struct Counter {
    renderings: Arc<AtomicUsize>,
    /// What the second element shows.
    state: Arc<Mutex<String>>,
    is_deleted: Arc<Mutex<bool>>,
    /// Why it cannot be rendered now.
    failure: Arc<Mutex<Option<HttpError>>>,
}

impl Counter {
    fn renderings(&self) -> usize {
        self.renderings.load(Ordering::SeqCst)
    }

    fn show(&self, state: &str) {
        *lock(&self.state) = state.into();
    }

    fn render(&self) -> Render {
        let page = self.clone();
        Box::new(move |_| {
            page.renderings.fetch_add(1, Ordering::SeqCst);
            let page = page.clone();
            async move {
                if *lock(&page.is_deleted) {
                    return Err(HttpError::not_found("no app shop. It has: blog"));
                }
                if let Some(failure) = lock(&page.failure).clone() {
                    return Err(failure);
                }
                let mut fragments = Fragments::new(AGAIN);
                fragments.add("title", html! { h1 id="title" { "shop" } });
                fragments.add("state", html! { p id="state" { (*lock(&page.state)) } });
                Ok(fragments)
            }
            .boxed()
        })
    }
}

fn key(only_app: Option<&str>) -> Key {
    let only_app = only_app.map(|id| (id.into(), "shop".into()));
    Key { page: "/apps/shop".into(), rights: Rights { admin: false, may_write: true, only_app } }
}

/// Live pages, and the controller whose records they show.
fn pages() -> (Arc<FakeControl>, LivePages) {
    let control = Arc::new(FakeControl::default());
    (control.clone(), LivePages::new(control, Stop::default()))
}

fn change(control: &FakeControl) {
    control.changes.send_modify(|it| *it += 1);
}

fn fragments(data: &str) -> Option<LiveEvent> {
    Some(LiveEvent::Fragments(data.into()))
}

const ALL: &str = r#"{"engine":"<div id=\"engine\" role=\"status\"></div>","outdated":"<div id=\"outdated\" role=\"status\"></div>","state":"<p id=\"state\"></p>","title":"<h1 id=\"title\">shop</h1>"}"#;

#[tokio::test(start_paused = true)]
async fn the_first_event_has_everything_and_later_ones_what_changed() {
    let (control, pages) = pages();
    let page = Counter::default();
    let mut events = Box::pin(pages.view(key(None), page.render()));
    assert_eq!(events.next().await, fragments(ALL));
    page.show("<b>");
    change(&control);
    assert_eq!(events.next().await, fragments(r#"{"state":"<p id=\"state\">&lt;b&gt;</p>"}"#));
}

#[tokio::test(start_paused = true)]
async fn a_page_is_rendered_once_for_all_viewers_with_the_same_rights() {
    let (_control, pages) = pages();
    let (page, other) = (Counter::default(), Counter::default());
    let mut viewers: Vec<_> = (0..200).map(|_| Box::pin(pages.view(key(None), page.render()))).collect();
    for viewer in &mut viewers {
        assert_eq!(viewer.next().await, fragments(ALL));
    }
    assert_eq!(page.renderings(), 1);
    let mut restricted = Box::pin(pages.view(key(Some("id")), other.render()));
    assert_eq!(restricted.next().await, fragments(ALL));
    assert_eq!((page.renderings(), other.renderings()), (1, 1), "rights differ");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_nothing_differs() {
    let (control, pages) = pages();
    let page = Counter::default();
    let mut events = Box::pin(pages.view(key(None), page.render()));
    events.next().await;
    for _ in 0..3 {
        change(&control);
        sleep(Duration::from_secs(1)).await;
    }
    assert!(page.renderings() >= 4);
    assert!(futures::poll!(events.next()).is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_changes_is_rendered_at_most_twenty_times_a_second() {
    let (control, pages) = pages();
    let page = Counter::default();
    let mut events = Box::pin(pages.view(key(None), page.render()));
    events.next().await;
    for _ in 0..1000 {
        change(&control);
        sleep(Duration::from_millis(1)).await;
    }
    assert!((10..=22).contains(&page.renderings()), "{}", page.renderings());
}

#[tokio::test(start_paused = true)]
async fn a_page_without_changes_is_rendered_again_after_the_time_that_it_names() {
    let (_control, pages) = pages();
    let page = Counter::default();
    let mut events = Box::pin(pages.view(key(None), page.render()));
    events.next().await;
    page.show("later");
    let before = Instant::now();
    assert_eq!(events.next().await, fragments(r#"{"state":"<p id=\"state\">later</p>"}"#));
    assert!(before.elapsed() >= AGAIN);
}

#[tokio::test(start_paused = true)]
async fn the_renderer_ends_with_its_last_viewer() {
    let (control, pages) = pages();
    let page = Counter::default();
    let mut first = Box::pin(pages.view(key(None), page.render()));
    let mut second = Box::pin(pages.view(key(None), page.render()));
    first.next().await;
    second.next().await;
    drop(first);
    page.show("still here");
    change(&control);
    assert!(second.next().await.is_some());
    drop(second);
    let renderings = page.renderings();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(page.renderings(), renderings);
    let mut third = Box::pin(pages.view(key(None), page.render()));
    assert!(third.next().await.is_some(), "a new viewer starts a new renderer");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_learns_that_the_page_no_longer_exists_but_no_names_of_other_apps() {
    let (control, pages) = pages();
    let page = Counter::default();
    let mut events = Box::pin(pages.view(key(None), page.render()));
    events.next().await;
    *lock(&page.is_deleted) = true;
    change(&control);
    assert_eq!(events.next().await, Some(LiveEvent::End(DELETED.into())));
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_rendered_says_why_until_it_can() {
    let (control, pages) = pages();
    let page = Counter::default();
    let mut events = Box::pin(pages.view(key(None), page.render()));
    events.next().await;
    *lock(&page.failure) = Some(HttpError::server_error("the database is busy", "locked".into()));
    change(&control);
    let LiveEvent::Fragments(failing) = events.next().await.expect("an event") else { panic!("it has not ended") };
    assert!(failing.starts_with(r#"{"outdated":"#) && failing.contains("the database is busy"), "{failing}");
    assert!(!failing.contains("locked"), "{failing}");
    *lock(&page.failure) = None;
    assert_eq!(events.next().await, fragments(r#"{"outdated":"<div id=\"outdated\" role=\"status\"></div>"}"#));
}

#[tokio::test(start_paused = true)]
async fn a_rendering_that_never_ends_counts_as_failed() {
    let (_control, pages) = pages();
    let render: Render = Box::new(|_| std::future::pending().boxed());
    let mut events = Box::pin(pages.view(key(None), render));
    let LiveEvent::Fragments(failing) = events.next().await.expect("an event") else { panic!("it has not ended") };
    assert!(failing.contains("This page cannot be updated now."), "{failing}");
}

#[test]
fn a_rendering_gets_the_rights_of_its_viewers_and_no_other_fact_about_them() {
    let tokens = controller_fake::samples::tokens();
    let control: Arc<dyn Control> = Arc::new(FakeControl::default());
    for token in tokens.values() {
        let access = Rights::of(&Identity::Token(token.clone())).access(control.clone());
        assert_eq!(access.identity.may_write(), token.scope == TokenScope::Write);
        assert_eq!(access.identity.only_app(), token.app.as_ref());
        assert_eq!((access.caller.actor.name.as_str(), access.caller.token_hash.as_str()), ("", ""));
    }
    assert!(matches!(Rights::of(&Identity::Admin).access(control).identity, Identity::Admin));
}

#[test]
fn a_slow_viewer_gets_what_changed_since_its_last_event_at_once() {
    let mut shown = Shown::default();
    let rendering = |one: &str, other: &str| {
        let mut fragments = Fragments::new(AGAIN);
        fragments.add("one", html! { (one) });
        fragments.add("other", html! { (other) });
        fragments
    };
    assert!(shown.update(rendering("1", "1")));
    assert!(!shown.update(rendering("1", "1")));
    assert!(shown.update(rendering("2", "1")));
    assert!(shown.update(rendering("2", "3")));
    assert_eq!(shown.since(1), r#"{"one":"2","other":"3"}"#);
    assert_eq!(shown.since(2), r#"{"other":"3"}"#);
    assert_eq!(shown.since(0), r#"{"one":"2","other":"3"}"#);
}

/// The events of deployment 2 of the fake's app, over the whole router, for the session with this secret.
async fn stream(control: &Arc<FakeControl>, stop: &Stop, secret: &str) -> BodyDataStream {
    stream_of(&crate::router(control.clone(), stop.clone()), secret).await
}

async fn stream_of(router: &axum::Router, secret: &str) -> BodyDataStream {
    let mut request = Request::get("/apps/shop/deployments/2/events");
    request =
        request.header("cookie", format!("boatyard_session_installation={secret}")).header("sec-fetch-mode", "cors");
    let request = request.extension(BaseUrl("http://127.0.0.1:7080".into())).body(axum::body::Body::empty());
    let answer = router.clone().oneshot(request.expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    answer.into_body().into_data_stream()
}

async fn event(stream: &mut BodyDataStream) -> Option<String> {
    let bytes = stream.next().await?.expect("a body without errors");
    Some(String::from_utf8(bytes.into()).expect("text"))
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_session_and_with_the_server() {
    let (control, stop) = (Arc::new(FakeControl::default()), Stop::default());
    let hash = hex::encode(sha256(TOKEN));
    let (ended, other) = (control.create_session(&hash, None).await, control.create_session(&hash, None).await);
    let (ended, other) = (ended.expect("a session"), other.expect("a session"));
    let mut of_ended = stream(&control, &stop, &ended.secret).await;
    let mut of_other = stream(&control, &stop, &other.secret).await;
    for stream in [&mut of_ended, &mut of_other] {
        let first = event(stream).await.expect("an event");
        assert!(first.starts_with("event: fragments\ndata: {\"deployment\":"), "{first}");
    }
    control.end_session(&ended.view.id).await.expect("it was open");
    assert_eq!(event(&mut of_ended).await, None);
    let alive = event(&mut of_other).await.expect("an event or a comment");
    assert!(alive.starts_with(':') || alive.starts_with("event: fragments"), "{alive}");
    stop.request();
    while let Some(event) = event(&mut of_other).await {
        assert!(!event.contains("gone"), "{event}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_beyond_the_limit_says_so_and_ends() {
    let (control, stop) = (Arc::new(FakeControl::default()), Stop::default());
    let session = control.create_session(&hex::encode(sha256(TOKEN)), None).await.expect("a session");
    let router = crate::router(control.clone(), stop);
    let mut open = Vec::new();
    for _ in 0..STREAMS_PER_QUOTA {
        open.push(stream_of(&router, &session.secret).await);
    }
    let mut refused = stream_of(&router, &session.secret).await;
    let only = event(&mut refused).await.expect("an event");
    assert!(only.starts_with("event: end\ndata: {\"message\":\"This page is not kept up to date."), "{only}");
    assert_eq!(event(&mut refused).await, None);
    open.pop();
    let first = event(&mut stream_of(&router, &session.secret).await).await;
    assert!(first.is_some_and(|it| it.starts_with("event: fragments")));
}

#[tokio::test(start_paused = true)]
async fn the_sessions_of_a_created_token_share_a_limit_and_leave_pages_to_others() {
    let (control, stop) = (Arc::new(FakeControl::default()), Stop::default());
    let session =
        async |token: &str| control.create_session(&hex::encode(sha256(token)), None).await.expect("a session");
    let (one, another, admin) = (session("reader").await, session("reader").await, session(TOKEN).await);
    let router = crate::router(control.clone(), stop);
    let mut open = Vec::new();
    for _ in 0..STREAMS_PER_QUOTA {
        open.push(stream_of(&router, &one.secret).await);
    }
    let refused = event(&mut stream_of(&router, &another.secret).await).await;
    assert!(refused.is_some_and(|it| it.starts_with("event: end")), "the token has no more");
    let first = event(&mut stream_of(&router, &admin.secret).await).await;
    assert!(first.is_some_and(|it| it.starts_with("event: fragments")), "others have");
}
