//! Texts from apps, repositories and specs stay texts.

use boatyard_tests::browser::{button, css, field};

use super::*;

/// Becomes a script, an element or an attribute wherever a page fails to escape it.
const HOSTILE: &str =
    r#"</textarea></script><script>hacked=1</script><img src=x onerror=hacked=1>" onload="hacked=1' x='"#;

/// The characters of [`HOSTILE`] that a value in single quotes of YAML may contain.
fn quoted() -> String {
    HOSTILE.replace('\'', "''")
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_texts_are_shown_as_text_on_every_page() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    let repo = versioned(&panel.at, "web");
    // A commit message and two lines of output, one of them with the escape sequences of a terminal.
    write_version(&repo, "2", "");
    repo.commit(HOSTILE).unwrap();
    let source = format!("git: {{repo_clone_url: '{}', branch: main}}", repo.url());
    let spec = format!(
        "
name: shop
services:
- name: web
  {source}
  routes: [{{path: /}}]
  envs:
  - {{key: NAME, value: web, scope: RUN_TIME}}
  - {{key: PRINT, value: '{text}', scope: RUN_TIME}}
  health_check: {{http_path: /health, period_seconds: 1}}
",
        text = quoted()
    );
    panel.at.create(&spec).await.unwrap();
    // A deployment that fails, with these texts in its reason and in the tail of its log.
    let broken =
        spec.replace("  - {key: PRINT", "  - {key: EXIT_AFTER_MS, value: '1', scope: RUN_TIME}\n  - {key: PRINT");
    let file = spec_file(&panel.at, &broken);
    let failed = run_cli(&panel.at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
    assert_ne!(failed.code, Some(0), "{}", failed.out);

    for (name, path) in PAGES {
        panel.go(path).await.unwrap();
        browser.until_there(css("h1")).await.unwrap();
        check(&panel).await;
        println!("{name}: nothing became markup");
    }
    for (path, place) in [
        ("/apps/shop/deployments/2", "#outcome .tail"),
        ("/apps/shop/logs?component=web", "main"),
        ("/apps/shop?action=rebuild", "dialog"),
        ("/apps/shop/settings/variables", "#variables-web"),
    ] {
        panel.go(path).await.unwrap();
        browser.until_shows(css(place), "<script>hacked=1</script>").await.unwrap();
        check(&panel).await;
    }

    // A spec that cannot be read comes back with its problem.
    panel.go("/new-app").await.unwrap();
    let editor = field("App spec, in YAML or JSON");
    let text = format!("name: shop\nservices:\n- name: web\n  envs: [{{key: '{}', value: a}}]\n", quoted());
    browser.fill(editor, &text).await.unwrap();
    browser.click(button("Check the spec")).await.unwrap();
    browser.until_shows(css(".problems"), "is not the name of a variable").await.unwrap();
    let text = browser.property(css("textarea"), "value").await.unwrap();
    assert!(text.as_str().unwrap().contains(&quoted()), "{text}");
    check_refused(&panel).await;

    // Names that are refused, and quoted in the refusal.
    browser.fill(css("textarea"), &format!("name: '{}'\n", quoted())).await.unwrap();
    browser.click(button("Check again")).await.unwrap();
    browser.until_shows(css(".problems"), "Line 1").await.unwrap();
    check_refused(&panel).await;
    panel.go("/tokens").await.unwrap();
    browser.fill(css("#name"), HOSTILE).await.unwrap();
    browser.click(button("Create the token")).await.unwrap();
    browser.until_shows(css(".notice.bad"), "<script>hacked=1</script>").await.unwrap();
    assert_eq!(browser.property(css("#name"), "value").await.unwrap(), HOSTILE);
    check_refused(&panel).await;

    // Addresses.
    for path in ["/apps/%3Cscript%3Ehacked=1%3C/script%3E", "/apps/shop?action=%22%3E%3Cscript%3Ehacked=1%3C/script%3E"]
    {
        panel.go(path).await.unwrap();
        browser.until_shows(css("main"), "hacked=1").await.unwrap();
        check_refused(&panel).await;
    }
}
