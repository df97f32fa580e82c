//! From nothing to a running app, and what happens to it afterwards, with a look at the engine after each step.

use boatyard_tests::browser::{At, button, css, field, link};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_panel_leads_to_a_running_app() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    browser.click(link("Create the first app")).await.unwrap();
    browser.fill(field("App spec, in YAML or JSON"), &shop()).await.unwrap();
    browser.click(button("Check the spec")).await.unwrap();
    // What was understood, before anything exists.
    browser.until_shows(css("main"), "mill").await.unwrap();
    check(&panel).await;
    assert!(panel.at.engine_containers().await.unwrap().is_empty());
    browser.click(button("Deploy")).await.unwrap();
    browser.until_at("/apps/shop/deployments/1").await.unwrap();
    assert_eq!(panel.until_phase("Active").await.unwrap(), 1);
    for component in ["web", "api", "mill"] {
        browser.until_there(At::Css(&format!(".lane[aria-label^='{component},']"))).await.unwrap();
    }
    check(&panel).await;
    let there = running(&panel.at).await;
    assert_eq!(there.values().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2], "{there:?}");
    assert!(page(&panel.at, "/").await.starts_with("web 1"));

    panel.go("/").await.unwrap();
    browser.until_shows(css("main"), "Active").await.unwrap();
    browser.click(link("shop")).await.unwrap();
    browser.until_at("/apps/shop").await.unwrap();
    check(&panel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_replaces_all_instances_or_those_of_one_component() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(&shop()).await.unwrap();
    let load = steady_traffic(&panel.at, 8, 50.0);
    let first = running(&panel.at).await;

    panel.go("/apps/shop").await.unwrap();
    choose(&panel, "Restart").await;
    browser.until_shows(css("dialog h2"), "Restart or Deploy").await.unwrap();
    browser.until_shows(css("#plan"), "web: 2 instances, one at a time").await.unwrap();
    check(&panel).await;
    browser.click(button("Restart")).await.unwrap();
    browser.until_at("/apps/shop/deployments/2").await.unwrap();
    panel.until_phase("Active").await.unwrap();
    // The proof: requests were served meanwhile, and none failed.
    browser.until_shows(css("#requests"), "none failed").await.unwrap();
    browser.until_shows(css("#images"), "What stayed the same").await.unwrap();
    check(&panel).await;
    let second = running(&panel.at).await;
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (component, ids) in &second {
        assert_eq!(ids.len(), first[component].len());
        assert!(ids.iter().all(|id| !first[component].contains(id)), "{component} has new instances only");
    }

    // By its address, and only one component.
    panel.go("/apps/shop?action=restart").await.unwrap();
    browser.click(css("dialog input[value=web]")).await.unwrap();
    browser.click(css("dialog input[value=mill]")).await.unwrap();
    let plan = async || Ok((browser.text(css("#plan strong")).await? == "api").then_some(()));
    browser.until("a plan for api alone", plan).await.unwrap();
    browser.click(button("Restart")).await.unwrap();
    browser.until_at("/apps/shop/deployments/3").await.unwrap();
    panel.until_phase("Active").await.unwrap();
    let third = running(&panel.at).await;
    assert_eq!((&third["web"], &third["mill"]), (&second["web"], &second["mill"]));
    assert_ne!(third["api"], second["api"]);
    let report = load.stop().await;
    assert_eq!(report.failed_count, 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_a_failure_with_its_log_and_a_rollback() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    let (web, api) = (versioned(&panel.at, "web"), versioned(&panel.at, "api"));
    panel.at.create(&built_shop(&web, &api)).await.unwrap();
    let first = running(&panel.at).await;

    write_version(&web, "2", "");
    web.commit("the second version").unwrap();
    panel.go("/apps/shop").await.unwrap();
    choose(&panel, "Force Rebuild and Deploy").await;
    browser.until_shows(css("dialog"), "the second version").await.unwrap();
    browser.click(css("dialog input[name=clear-cache]")).await.unwrap();
    check(&panel).await;
    browser.click(button("Force Rebuild and Deploy")).await.unwrap();
    browser.until_at("/apps/shop/deployments/2").await.unwrap();
    panel.until_phase("Active").await.unwrap();
    check(&panel).await;
    let second = running(&panel.at).await;
    assert!(second["web"].iter().all(|id| !first["web"].contains(id)), "{second:?}");
    assert!(page(&panel.at, "/").await.starts_with("web 2"));
    let log = run_cli(&panel.at, &["apps", "logs", "shop", "web", "--type", "build", "--deployment", "2"]).await.out;
    assert!(log.contains("COPY page /page") && log.contains("without the build cache"), "{log}");

    write_version(&web, "3", "ENV EXIT_AFTER_MS=1\nENV PRINT=the-licence-has-expired");
    web.commit("the third version").unwrap();
    panel.go("/apps/shop?action=deploy").await.unwrap();
    browser.until_shows(css("dialog"), "the third version").await.unwrap();
    browser.click(button("Deploy")).await.unwrap();
    browser.until_at("/apps/shop/deployments/3").await.unwrap();
    panel.until_phase("Failed").await.unwrap();
    browser.until_shows(css("#outcome .tail"), "the-licence-has-expired").await.unwrap();
    browser.until_shows(css("#outcome"), "shop serves deployment 2").await.unwrap();
    check(&panel).await;
    let broken = running(&panel.at).await;
    assert_eq!(broken, second, "what served goes on serving");
    assert!(page(&panel.at, "/").await.starts_with("web 2"));

    panel.go("/apps/shop?action=rollback&to=1").await.unwrap();
    browser.until_shows(css("#plan"), "web").await.unwrap();
    check(&panel).await;
    browser.click(button("Roll back")).await.unwrap();
    browser.until_at("/apps/shop/deployments/4").await.unwrap();
    panel.until_phase("Active").await.unwrap();
    assert!(page(&panel.at, "/").await.starts_with("web 1"));
    let back = running(&panel.at).await;
    assert!(back["web"].iter().all(|id| !second["web"].contains(id)), "{back:?}");

    panel.go("/apps/shop").await.unwrap();
    browser.until_shows(css("main"), "rollback to deployment 1").await.unwrap();
    check(&panel).await;
    browser.click(link("Keep it")).await.unwrap();
    browser.until_there(css("dialog:modal")).await.unwrap();
    check(&panel).await;
    browser.click(link("Cancel")).await.unwrap();
    browser.until_gone(css("dialog")).await.unwrap();
    browser.click(link("Undo it")).await.unwrap();
    browser.until_there(css("dialog:modal")).await.unwrap();
    check(&panel).await;
    browser.click(button("Undo the rollback")).await.unwrap();
    browser.until_at("/apps/shop/deployments/5").await.unwrap();
    panel.until_phase("Active").await.unwrap();
    assert!(page(&panel.at, "/").await.starts_with("web 2"));
    let undone = running(&panel.at).await;
    assert!(undone["web"].iter().all(|id| !back["web"].contains(id)), "{undone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_canceled_and_an_app_is_deleted_by_its_name() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    // The new instances never become ready.
    let spec = shop().replacen("{key: NAME, value: web}", "{key: NAME, value: web}, {key: NO_LISTEN, value: '0'}", 1);
    panel.at.create(&spec).await.unwrap();
    let before = running(&panel.at).await;
    let app = app_id(&panel.at, "shop").await;
    let broken = spec.replace("{key: NO_LISTEN, value: '0'}", "{key: NO_LISTEN, value: '1'}");
    let patient = broken.replacen("period_seconds: 1}", "period_seconds: 10, failure_threshold: 50}", 1);
    let file = spec_file(&panel.at, &patient);
    let updated = run_cli(&panel.at, &["apps", "update", &app, "--spec", &file]).await;
    assert_eq!(updated.code, Some(0), "{}", updated.err);
    panel.go("/apps/shop/deployments/2").await.unwrap();
    browser.until_shows(css("#instances"), "starting").await.unwrap();
    browser.click(link("Cancel")).await.unwrap();
    browser.until_there(css("dialog")).await.unwrap();
    check(&panel).await;
    browser.click(button("Cancel the deployment")).await.unwrap();
    panel.until_phase("Canceled").await.unwrap();
    browser
        .until("the engine without the new instance", async || Ok((running(&panel.at).await == before).then_some(())))
        .await
        .unwrap();

    panel.go("/apps/shop").await.unwrap();
    choose(&panel, "Delete").await;
    let delete = button("Delete the app");
    browser.fill(css("dialog #confirm"), "shoop").await.unwrap();
    assert_eq!(browser.property(css("dialog button.danger"), "disabled").await.unwrap(), true);
    browser.fill(css("dialog #confirm"), "shop").await.unwrap();
    check(&panel).await;
    browser.click(delete).await.unwrap();
    browser.until_at("/").await.unwrap();
    panel.at.until_gone(&app).await.unwrap();
    assert!(panel.at.engine_containers().await.unwrap().is_empty());
}

/// Opens a dialogue by the menu of the app's page.
async fn choose(panel: &Panel, action: &str) {
    panel.browser.click(css("#actions summary")).await.unwrap();
    panel.browser.click(link(action)).await.unwrap();
    panel.browser.until_there(css("dialog:modal")).await.unwrap();
}
