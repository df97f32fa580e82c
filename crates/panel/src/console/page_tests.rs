//! The pages of consoles, through the whole router.

use controller_fake::FakeControl;

use crate::tests::Panel;

#[tokio::test]
async fn a_person_chooses_an_instance_and_gets_its_screen() {
    let panel = Panel::new(FakeControl::default()).await;
    let choice = panel.get("/apps/shop/console?component=web").await.body;
    assert!(
        choice.contains("<option value=\"web:by-1-shop-web\" selected>web-0 (service, ready)</option>"),
        "{choice}"
    );
    assert!(!choice.contains("db-0"), "a database has no console");

    let opened = panel.post("/apps/shop/console", "instance=web%3Aby-1-shop-web").await;
    assert_eq!(opened.status, 303, "{}", opened.body);
    let calls = panel.control.calls();
    let wanted = ["find_console web Some(\"by-1-shop-web\") None", "open_console web-0"];
    assert!(wanted.iter().all(|it| calls.iter().any(|call| call == it)), "{calls:?}");
    let page = panel.get(&opened.location).await;
    assert_eq!(page.status, 200);
    for part in ["id=\"screen\"", "id=\"row-23\"", &format!("data-socket=\"{}/socket\"", opened.location)] {
        assert!(page.body.contains(part), "{part}: {}", page.body);
    }
    assert!(panel.get("/apps/shop/console").await.body.contains(&opened.location), "it is listed");
    assert_eq!(panel.get(&opened.location.replace("shop", "blog")).await.status, 404, "it is in another app");
    assert_eq!(panel.get(&format!("{}/socket", opened.location)).await.status, 400, "this is no WebSocket");

    let closed = panel.post(&format!("{}/close", opened.location), "").await;
    assert_eq!((closed.status, closed.location.as_str()), (303, "/apps/shop/console"));
}

#[tokio::test]
async fn a_refusal_is_shown_where_the_person_can_choose_again() {
    let panel = Panel::new(FakeControl::default()).await;
    panel.refuse("<b>web-0 has stopped</b>");
    let answer = panel.post("/apps/shop/console", "instance=web%3Aby-1-shop-web").await;
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("&lt;b&gt;web-0 has stopped&lt;/b&gt;"), "{}", answer.body);
    assert!(answer.body.contains("Open console"));
    let answer = panel.post("/apps/shop/console", "instance=").await;
    assert!(answer.status == 400 && answer.body.contains("choose an instance"), "{}", answer.body);
}

#[tokio::test]
async fn an_unknown_console_leads_to_the_choice() {
    let panel = Panel::new(FakeControl::default()).await;
    let answer = panel.get("/apps/shop/console/0123").await;
    assert_eq!(answer.status, 404);
    assert!(
        answer.body.contains("There is no such console") && answer.body.contains("Open console"),
        "{}",
        answer.body
    );
    assert_eq!(panel.get("/apps/shop/console/0123/socket").await.status, 404);
}

#[tokio::test]
async fn a_console_needs_scope_write() {
    let panel = Panel::with_token(FakeControl::default(), "reader").await;
    let choice = panel.get("/apps/shop/console").await;
    assert!(choice.status == 200 && choice.body.contains("needs scope write") && !choice.body.contains("Open console"));
    assert_eq!(panel.post("/apps/shop/console", "instance=web%3Aby-1-shop-web").await.status, 403);
    assert_eq!(panel.get("/apps/shop/console/0123/socket").await.status, 403);
    assert!(panel.control.calls().iter().all(|it| !it.contains("console")), "{:?}", panel.control.calls());
}
