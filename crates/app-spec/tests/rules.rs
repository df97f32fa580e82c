//! Rules between fields whose effect goes beyond a message.
#![allow(clippy::unwrap_used)]

use app_spec::{AppSpec, Authority, Code, Forward, Parsed, RoutePath, RouteRule, RouteTarget, routes};

/// A spec with the services `web` and `api`, each with `more`, and the lines in `rest`.
fn read(more: &str, rest: &str) -> Parsed {
    let service = |name: &str| format!("- {{name: {name}, git: {{repo_clone_url: /x}}, {more}}}\n");
    let text = format!("name: shop\nservices:\n{}{}{rest}", service("web"), service("api"));
    AppSpec::from_yaml(&text).unwrap_or_else(|problems| panic!("{}", problems.render("spec", &text)))
}

/// The path of each warning and its advice.
fn warnings(parsed: &Parsed) -> Vec<(&str, &str)> {
    assert!(parsed.warnings.iter().all(|it| it.code == Code::Doubtful), "{}", parsed.warnings);
    parsed.warnings.iter().map(|it| (it.path.as_str(), it.help.as_deref().unwrap_or_default())).collect()
}

fn rules(spec: &AppSpec) -> Vec<(RoutePath, String)> {
    let component = |rule: &RouteRule| rule.component().unwrap_or("redirect").to_owned();
    routes(spec).into_iter().map(|rule| (rule.path.clone(), component(&rule))).collect()
}

#[test]
fn legacy_routes_beside_ingress_rules_are_ignored_with_a_warning_and_cannot_clash() {
    let rest = "ingress: {rules: [{match: {path: {prefix: /new}}, component: {name: api}}]}\n";
    let parsed = read("routes: [{path: /same}, {path: /old}]", rest);
    assert_eq!(warnings(&parsed), [("services[0].routes", ""), ("services[1].routes", "")]);
    assert_eq!(rules(&parsed.spec), [(RoutePath::Prefix("/new".to_owned()), "api".to_owned())]);
}

#[test]
fn an_empty_authority_means_any_host() {
    for authority in ["{exact: ''}", "{prefix: ''}", "{}"] {
        let rule = format!("{{match: {{path: {{prefix: /a}}, authority: {authority}}}, component: {{name: api}}}}");
        let parsed = read("", &format!("ingress: {{rules: [{rule}]}}\n"));
        assert!(parsed.not_yet().is_empty(), "{authority}: {}", parsed.not_yet());
        assert_eq!(rules(&parsed.spec), [(RoutePath::Prefix("/a".to_owned()), "api".to_owned())], "{authority}");

        let any_host = "{match: {path: {prefix: /a}}, component: {name: web}}";
        let text = format!(
            "name: shop\nservices: [{{name: web, git: {{repo_clone_url: /x}}}}, {{name: api, git: {{repo_clone_url: /x}}}}]\n\
             ingress: {{rules: [{any_host}, {rule}]}}\n"
        );
        let problems = AppSpec::from_yaml(&text).unwrap_err();
        assert_eq!(problems.first_error().unwrap().code, Code::RouteClash, "{authority}");
    }
    let named = "{match: {path: {prefix: /a}, authority: {exact: shop.example}}, component: {name: api}}";
    let parsed = read("", &format!("ingress: {{rules: [{named}]}}\n"));
    assert!(parsed.not_yet().is_empty(), "{}", parsed.not_yet());
    assert_eq!(routes(&parsed.spec)[0].authority, Some(Authority::Exact("shop.example".to_owned())));
}

#[test]
fn two_entries_for_one_database_of_a_cluster_become_two_databases_with_a_warning() {
    let databases = |second: &str| {
        let first = "{name: db, cluster_name: main, db_name: shop}";
        AppSpec::from_yaml(&format!("name: shop\ndatabases: [{first}, {{name: eb, {second}}}]\n")).unwrap()
    };
    let shared = databases("cluster_name: main, db_name: shop");
    assert_eq!(shared.spec.databases.len(), 2);
    let advice = "keep one entry, and refer to it from every component";
    assert_eq!(warnings(&shared), [("databases[1].cluster_name", advice)]);
    assert_eq!(shared.warnings[0].related.as_ref().unwrap().path, "databases[0].cluster_name");
    for separate in ["cluster_name: main, db_name: other", "cluster_name: other, db_name: shop", "db_name: shop"] {
        assert_eq!(warnings(&databases(separate)), [], "{separate}");
    }
}

#[test]
fn an_asterisk_in_a_legacy_path_is_taken_literally_with_a_warning() {
    for (written, advice) in [("/*", "write `/`"), ("/api/*", "write `/api`"), ("/api**", "write `/api`")] {
        let text = format!(
            "name: shop\nservices: [{{name: web, git: {{repo_clone_url: /x}}, routes: [{{path: '{written}'}}]}}]\n"
        );
        let parsed = AppSpec::from_yaml(&text).unwrap();
        assert_eq!(warnings(&parsed), [("services[0].routes[0].path", advice)], "{written}");
        let [route] = &routes(&parsed.spec)[..] else { panic!("one route") };
        let wanted = RouteTarget::Component { name: "web".to_owned(), forward: Forward::Strip };
        assert_eq!((route.path.as_str(), &route.target), (written, &wanted));
    }
}
