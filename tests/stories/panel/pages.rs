//! Every page and every dialogue: accessible, light, and without an error.

use boatyard_tests::browser::{Theme, css};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_accessible_light_and_free_of_errors() {
    let Some(panel) = panel().await else { return };
    let (web, api) = (versioned(&panel.at, "web"), versioned(&panel.at, "api"));
    let more = "
workers: [{name: mill, image: TESTAPP, run_command: /bin/testapp work}]
jobs: [{name: migrate, kind: PRE_DEPLOY, image: TESTAPP, run_command: /bin/testapp job}]
databases: [{name: db, engine: PG}]
";
    let spec = built_shop(&web, &api) + &more.replace("TESTAPP", TESTAPP);
    panel.at.create(&spec).await.unwrap();
    let restart = panel.at.restart("shop", &[]).await.unwrap();
    panel.at.wait_active("shop", &restart).await.unwrap();
    // All faults, because one run takes long.
    let mut faults = Vec::new();
    for (theme, phone) in [(Theme::Light, false), (Theme::Dark, true)] {
        panel.browser.set_theme(theme).await.unwrap();
        panel.browser.resize(if phone { 390 } else { 1280 }, 844, phone).await.unwrap();
        for (name, path) in PAGES {
            panel.go(path).await.unwrap();
            panel.browser.until_there(css("h1")).await.unwrap();
            println!("{name} weighs {} bytes", panel.weight().await.unwrap());
            let mut found = panel.faults().await.unwrap();
            if panel.browser.is_there(css("dialog:modal")).await.unwrap() != path.contains("?action=") {
                found.push("a dialogue is missing, or open for no reason".into());
            }
            let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            if panel.browser.run(overflow, &[]).await.unwrap() != 0 {
                found.push("the page is wider than the screen".into());
            }
            faults.extend(found.into_iter().map(|it| format!("{name}, {theme:?}: {it}")));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    panel.browser.click(css("form.account button")).await.unwrap();
    panel.browser.until_at("/sign-in").await.unwrap();
    check(&panel).await;
}
