//! Forms that the server refuses: each says why, accessibly, in both themes.

use boatyard_tests::browser::{At, Theme, button, css};
use serde_json::json;

use super::*;

/// What a person does with a form.
enum Do {
    /// Replaces the text of a field.
    Type(&'static str, &'static str),
    Click(At<'static>),
}

/// A form whose last action is refused. `says`: an element, and what it then contains.
struct Refused {
    path: &'static str,
    actions: &'static [Do],
    says: (&'static str, &'static str),
}

use Do::{Click, Type};

const NOTICE: &str = ".notice.bad";
const SAVE: Do = Click(At::Named("button", "Save and deploy"));
const CREATE_TOKEN: Do = Click(At::Named("button", "Create the token"));
const CHECK: Do = Click(At::Named("button", "Check the spec"));
const LOOK: Do = Click(At::Named("button", "Look at the repository"));

/// For an app `shop` whose component `web` has a secret `KEY` after its variable `NAME`, and a token `ci`.
const FORMS: &[Refused] = &[
    Refused {
        path: "/new-app",
        actions: &[Type("#address", " "), LOOK],
        says: ("#address-error", "Paste the address of a repository"),
    },
    Refused {
        path: "/new-app",
        actions: &[
            Type("#address", "https://git.example.net/shop.git"),
            Click(At::Css("#from-repository summary")),
            Type("#port", "70000"),
            LOOK,
        ],
        says: ("#port-error", "is not a port"),
    },
    Refused {
        path: "/new-app",
        actions: &[Type("#spec", "name: shop\nservices: [\n"), CHECK],
        says: (NOTICE, "The spec cannot be used as it is"),
    },
    Refused {
        path: "/new-app",
        actions: &[Type("#spec", NAME_TAKEN), CHECK],
        says: ("main", "an app named shop exists"),
    },
    Refused {
        path: "/apps/shop/settings",
        actions: &[Type("#spec", "name: shop\nservices: [\n"), SAVE],
        says: (NOTICE, "The spec was not saved"),
    },
    Refused {
        path: "/apps/shop/settings/variables?action=add&of=web",
        actions: &[Type("#name", "1B"), Type("#value", "x"), SAVE],
        says: (NOTICE, "Nothing was changed"),
    },
    Refused {
        path: "/apps/shop/settings/variables?action=add&of=web",
        actions: &[Type("#name", "NAME"), Type("#value", "x"), SAVE],
        says: (NOTICE, "There is a variable NAME already"),
    },
    Refused {
        path: "/apps/shop/settings/variables?action=change&of=web&at=1&name=KEY",
        actions: &[Click(At::Css("dialog option[value=GENERAL]")), SAVE],
        says: (NOTICE, "Type the value of KEY again"),
    },
    Refused {
        path: "/apps/shop?action=restart",
        actions: &[Click(At::Css("dialog [data-all]")), Click(At::Named("button", "Restart"))],
        says: (NOTICE, "no component is chosen"),
    },
    Refused {
        path: "/apps/shop/settings/variables?action=remove&of=web&at=7&name=NONE",
        actions: &[],
        says: (NOTICE, "This variable is no longer there"),
    },
    Refused { path: "/apps/shop?action=rollback&to=99", actions: &[], says: (NOTICE, "99") },
    Refused {
        path: "/tokens",
        actions: &[Type("#name", "-ci"), CREATE_TOKEN],
        says: (NOTICE, "a token cannot be named"),
    },
    Refused { path: "/tokens", actions: &[Type("#name", "ci"), CREATE_TOKEN], says: (NOTICE, "No token was created") },
    Refused {
        path: "/tokens",
        actions: &[Type("#name", "other"), Type("#expires", "soon"), CREATE_TOKEN],
        says: (NOTICE, "soon"),
    },
    Refused {
        path: "/tokens",
        actions: &[Type("#name", "other"), Type("#app", "shoop"), CREATE_TOKEN],
        says: (NOTICE, "shoop"),
    },
];

const NAME_TAKEN: &str = "name: shop
services: [{name: web, image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}}]
";

impl Do {
    async fn run(&self, panel: &Panel) {
        match self {
            Self::Type(selector, text) => panel.browser.fill(css(selector), text).await.unwrap(),
            Self::Click(at) => panel.browser.click(*at).await.unwrap(),
        }
    }
}

/// Creates the app that [`FORMS`] is about.
async fn create_shop(panel: &Panel) {
    let spec = shop().replacen(
        "{key: IDLE_CLOSE_MS, value: '2000'}, {key: NAME, value: web}",
        "{key: NAME, value: web}, {key: KEY, type: SECRET, value: a}",
        1,
    );
    panel.at.create(&spec).await.unwrap();
}

/// Waits until an element contains a text, and judges the page in both themes.
async fn expect_refusal(panel: &Panel, (selector, text): (&str, &str)) {
    panel.browser.until_shows(css(selector), text).await.unwrap();
    for theme in [Theme::Light, Theme::Dark] {
        panel.browser.set_theme(theme).await.unwrap();
        let faults = panel.faults_after_refusal().await.unwrap();
        let url = panel.browser.url().await.unwrap();
        assert!(faults.is_empty(), "{url} says {text:?}, {theme:?}: {faults:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_form_with_a_mistake_is_refused_accessibly_and_changes_nothing() {
    let Some(panel) = panel().await else { return };
    create_shop(&panel).await;
    assert_eq!(run_cli(&panel.at, &["tokens", "create", "ci"]).await.code, Some(0));
    let before = running(&panel.at).await;
    for Refused { path, actions, says } in FORMS {
        println!("{path} has to say {:?}", says.1);
        panel.go(path).await.unwrap();
        for action in *actions {
            action.run(&panel).await;
        }
        expect_refusal(&panel, *says).await;
    }
    // The button is disabled until the name is right. Without JavaScript it is not.
    panel.go("/apps/shop?action=delete").await.unwrap();
    Type("dialog #confirm", "shoop").run(&panel).await;
    panel.browser.run("document.querySelector('dialog .danger').disabled = false", &[]).await.unwrap();
    Click(button("Delete the app")).run(&panel).await;
    expect_refusal(&panel, ("dialog", "This is not the name of the app")).await;

    assert_eq!(running(&panel.at).await, before);
    let answer = panel.at.ok("GET", "/v2/apps/shop/deployments", None).await.unwrap();
    assert_eq!(answer["deployments"].as_array().unwrap().len(), 1, "no form has started a deployment: {answer}");

    panel.go("/").await.unwrap();
    Click(css("form.account button")).run(&panel).await;
    Type("#token", "dob_v1_wrong").run(&panel).await;
    Click(button("Sign in")).run(&panel).await;
    expect_refusal(&panel, (NOTICE, "Boatyard does not accept this token")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_about_something_that_has_changed_meanwhile_is_refused_accessibly() {
    let Some(panel) = panel().await else { return };
    create_shop(&panel).await;
    assert_eq!(run_cli(&panel.at, &["tokens", "create", "ci"]).await.code, Some(0));
    let created = panel.at.ok("GET", "/v2/apps/shop/deployments", None).await.unwrap();
    let first = created["deployments"][0]["id"].as_str().unwrap();

    // The spec, in both of its pages.
    let pages = [
        ("/apps/shop/settings", Type("#spec", NAME_TAKEN)),
        ("/apps/shop/settings/variables?action=change&of=web&at=0&name=NAME", Type("#value", "other")),
    ];
    for (number, (path, change)) in pages.into_iter().enumerate() {
        panel.go(path).await.unwrap();
        let spec = shop().replacen("instance_count: 2", &format!("instance_count: {}", number + 3), 1);
        let file = spec_file(&panel.at, &spec.replacen("{key: IDLE_CLOSE_MS, value: '2000'}, ", "", 1));
        let updated = run_cli(&panel.at, &["apps", "update", "shop", "--spec", &file, "--wait"]).await;
        assert_eq!(updated.code, Some(0), "{}", updated.err);
        change.run(&panel).await;
        SAVE.run(&panel).await;
        expect_refusal(&panel, (NOTICE, "The spec was changed since you opened this page")).await;
    }

    // The app is pinned by a rollback, which then is kept.
    panel.go("/apps/shop?action=deploy").await.unwrap();
    let body = json!({ "deployment_id": first });
    let rollback = panel.at.ok("POST", "/v2/apps/shop/rollback", Some(&body)).await.unwrap();
    panel.at.wait_active("shop", rollback["deployment"]["id"].as_str().unwrap()).await.unwrap();
    Click(button("Deploy")).run(&panel).await;
    expect_refusal(&panel, (NOTICE, "Nothing was changed")).await;
    panel.go("/apps/shop?action=commit").await.unwrap();
    panel.at.ok("POST", "/v2/apps/shop/rollback/commit", None).await.unwrap();
    Click(button("Keep the rollback")).run(&panel).await;
    expect_refusal(&panel, (NOTICE, "nothing to commit")).await;

    // The token and its session are gone.
    panel.go("/tokens").await.unwrap();
    Click(At::Named("link", "Revoke…")).run(&panel).await;
    panel.browser.until_there(css("dialog:modal")).await.unwrap();
    assert_eq!(run_cli(&panel.at, &["tokens", "revoke", "ci"]).await.code, Some(0));
    Click(button("Revoke the token")).run(&panel).await;
    expect_refusal(&panel, ("dialog .notice.bad", "no token")).await;
}
