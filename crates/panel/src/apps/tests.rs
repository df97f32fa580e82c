use controller_fake::samples;
use rollout::deployment::Stage;
use rollout::time::Timestamp;
use serde_json::json;

use super::*;
use crate::tests::HOSTILE;

fn page_of(apps: Vec<AppView>, may_create: bool) -> String {
    let requests = vec![1204; apps.len()];
    let apps = Page { total: apps.len() as u64, items: apps };
    all(&fragments(&apps, &requests, 1, may_create))
}

fn all(fragments: &Fragments) -> String {
    let parts = ["apps-heading", "no-apps", "apps-columns", "pages"].map(str::to_owned).into_iter();
    parts.chain((0..PER_PAGE).map(row_id)).map(|id| fragments.get(&id).0.to_owned()).collect()
}

fn app(stages: &[Stage], ready: usize) -> AppView {
    let deployments = stages.iter().zip(1..).map(|(stage, number)| samples::deployment(number, *stage));
    AppView { ready, ..samples::app(&deployments.collect::<Vec<_>>()) }
}

#[test]
fn an_empty_panel_leads_to_the_first_app() {
    let page = page_of(vec![], true);
    assert!(page.contains("href=\"/new-app\"") && page.contains("Create the first app"), "{page}");
    let reader = page_of(vec![], false);
    assert!(reader.contains("No apps yet") && !reader.contains("/new-app"), "{reader}");
}

#[test]
fn a_row_names_the_phase_the_instances_that_serve_and_the_last_deployment() {
    for (stages, ready, expected) in [
        (&[Stage::Pending][..], 0, &["Waiting to build", "/apps/shop/deployments/1"][..]),
        (&[Stage::Active, Stage::Rolling], 1, &["Deploying", "/apps/shop/deployments/2", "restart of all, by ci"]),
        (&[Stage::Active], 0, &["Active", "no instance serves"]),
        (&[Stage::Active], 1, &["Active", "1 of 2 instances serve", "Deployment 1"]),
        (&[Stage::Active, Stage::Failed], 2, &["Active", "Failed", "Deployment 2"]),
        (&[Stage::Failed], 0, &["Not deployed", "Failed"]),
        (&[Stage::Active, Stage::Canceled], 2, &["Active", "Canceled"]),
        (&[], 0, &["Not deployed", "none"]),
    ] {
        let row = row("app-0", &app(stages, ready), 1204).into_string();
        for text in expected.iter().chain(&["href=\"/apps/shop\"", "1,204"]) {
            assert!(row.contains(text), "{stages:?}: {text:?} is missing in {row}");
        }
    }
    let healthy = row("app-0", &app(&[Stage::Active], 2), 0).into_string();
    assert!(!healthy.contains("serve"), "{healthy}");
}

#[test]
fn only_apps_with_services_or_static_sites_have_an_address() {
    for (components, has_address) in [("services", true), ("static_sites", true), ("workers", false)] {
        let spec = json!({ "name": "shop", components: [{ "name": "web" }] });
        let row = row("app-0", &AppView { spec, ..app(&[Stage::Active], 2) }, 0).into_string();
        assert_eq!(row.contains("href=\"http://shop.localhost:8080\""), has_address, "{components}: {row}");
    }
}

#[test]
fn an_app_that_is_deleted_disappears_and_those_after_it_move() {
    let named = |name: &str| AppView { name: name.into(), ..app(&[Stage::Active], 2) };
    let list = |apps: Vec<AppView>| fragments(&Page { total: apps.len() as u64, items: apps }, &[0, 0], 1, true);
    let before = list(vec![named("blog"), named("shop")]);
    let after = list(vec![named("shop")]);
    assert!(before.get("app-0").0.contains("/apps/blog") && before.get("app-1").0.contains("/apps/shop"));
    assert!(after.get("app-0").0.contains("/apps/shop"));
    assert_eq!(after.get("app-1").0, "<div id=\"app-1\" hidden></div>");
}

#[test]
fn a_longer_list_has_pages() {
    let pages = |page: u64, total: u64| link::pages("/", page, PER_PAGE, total).into_string();
    assert!(pages(1, PER_PAGE).contains(" hidden"), "{}", pages(1, PER_PAGE));
    let first = pages(1, 201);
    assert!(first.contains("Page 1 of 5") && first.contains("?page=2") && !first.contains("Previous"), "{first}");
    let last = pages(5, 201);
    assert!(last.contains("?page=4") && !last.contains("Next"), "{last}");
    let beyond = pages(9, 201);
    assert!(beyond.contains("?page=5") && !beyond.contains("Next"), "{beyond}");
}

#[test]
fn the_number_of_a_page_is_read_from_the_query() {
    for (query, number) in
        [("", 1), ("page=3", 3), ("page=0", 1), ("page=-1", 1), ("page=x", 1), ("page=99999999999", 1)]
    {
        assert_eq!(page_number(&Fields::of(query)), number, "{query}");
    }
}

#[test]
fn all_texts_are_shown_as_text_and_only_addresses_of_http_become_links() {
    let page = |text: &str| {
        let mut app = app(&[Stage::Active, Stage::Failed], 2);
        (app.name, app.live_url) = (text.into(), format!("http://{text}"));
        if let Some(newest) = &mut app.newest {
            (newest.cause, newest.created) = (text.into(), Timestamp(1_772_000_000_000));
        }
        page_of(vec![app], true)
    };
    let (plain, hostile) = (page("plain"), page(HOSTILE));
    for character in ['<', '>', '"'] {
        assert_eq!(hostile.matches(character).count(), plain.matches(character).count(), "unescaped {character}");
    }
    for address in ["javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "//example.com", " http://x"] {
        let row = row("app-0", &AppView { live_url: address.into(), ..app(&[Stage::Active], 2) }, 0).into_string();
        assert!(row.contains(address) && !row.contains("target="), "{row}");
    }
    assert!(plain.contains("href=\"http://plain\" target=\"_blank\" rel=\"noopener noreferrer\""), "{plain}");
}
