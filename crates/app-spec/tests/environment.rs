//! The variables that a component gets in containers and in builds.
#![allow(clippy::unwrap_used)]

use app_spec::{AppSpec, Code, DatabaseFacts, EnvValue, Environment, Facts, Scope, SecretText, Why, resolve_envs};

const GIT: &str = "git: {repo_clone_url: 'https://example.com/r.git'}";

/// A spec with a service `web`, a service `api` under `/api`, a worker, a job and a database.
fn spec(app_envs: &str, web_envs: &str) -> AppSpec {
    let text = format!(
        "name: shop\nenvs: [{app_envs}]\nservices:\n\
         - {{name: web, {GIT}, routes: [{{path: /}}], envs: [{web_envs}]}}\n\
         - {{name: api, {GIT}, http_port: 3000, routes: [{{path: /api}}]}}\n\
         - {{name: rpc, {GIT}, internal_ports: [9000]}}\n\
         workers:\n- {{name: work, {GIT}}}\njobs:\n- {{name: tidy, {GIT}}}\n\
         databases:\n- {{name: db-1, engine: PG}}\n- {{name: cache, engine: REDIS}}\n"
    );
    AppSpec::from_yaml(&text).unwrap_or_else(|e| panic!("{}", e.render("spec", &text))).spec
}

fn facts() -> Facts {
    let database = DatabaseFacts {
        host: "db-1".to_owned(),
        port: 5432,
        username: "shop".to_owned(),
        password: SecretText::new("p@ss/w:rd"),
        database: "main".to_owned(),
    };
    let cache = DatabaseFacts { host: "cache".to_owned(), port: 6379, database: String::new(), ..database.clone() };
    Facts {
        app_id: "id-1".to_owned(),
        app_url: "http://shop.localhost:8080".to_owned(),
        app_domain: "shop.localhost".to_owned(),
        databases: [("db-1".to_owned(), database), ("cache".to_owned(), cache)].into(),
        commits: [("web".to_owned(), "c0ffee".to_owned())].into(),
    }
}

fn run(app_envs: &str, web_envs: &str) -> Environment {
    resolve_envs(&spec(app_envs, web_envs), "web", Scope::Run, &facts()).unwrap()
}

/// The value of `A` in `web`, and whether it is secret.
fn value_of(reference: &str) -> (String, bool) {
    let environment = run("", &format!("{{key: A, value: '{reference}'}}"));
    let value = environment.get("A").unwrap();
    (value.text.clone(), value.secret)
}

#[test]
fn references_have_their_values() {
    let cases = [
        ("${APP_ID}", "id-1", false),
        ("${APP_URL}/login", "http://shop.localhost:8080/login", false),
        ("${APP_DOMAIN}", "shop.localhost", false),
        ("${db-1.HOSTNAME}:${db-1.PORT}", "db-1:5432", false),
        ("${db-1.USERNAME} ${db-1.DATABASE}", "shop main", false),
        ("${db-1.PASSWORD}", "p@ss/w:rd", true),
        ("${db-1.CA_CERT}", "", false),
        ("${db-1.DATABASE_URL}", "postgresql://shop:p%40ss%2Fw%3Ard@db-1:5432/main", true),
        ("${db-1.JDBC_DATABASE_URL}", "jdbc:postgresql://db-1:5432/main?user=shop&password=p%40ss%2Fw%3Ard", true),
        ("${db-1.pool.USERNAME}", "shop", false),
        ("${cache.REDIS_URL}", "redis://shop:p%40ss%2Fw%3Ard@cache:6379", true),
        ("${api.PUBLIC_URL}", "http://shop.localhost:8080/api", false),
        ("${web.PUBLIC_URL}", "http://shop.localhost:8080", false),
        ("${api.PUBLIC_ROUTE_PATH}", "/api", false),
        ("${api.PRIVATE_URL}", "http://api:3000", false),
        ("${api.PRIVATE_DOMAIN}:${api.PRIVATE_PORT}", "api:3000", false),
        ("${rpc.PRIVATE_URL}", "http://rpc:9000", false),
        ("${_self.COMMIT_HASH}${api.COMMIT_HASH}", "c0ffee", false),
        ("${_self.PRIVATE_PORT}", "8080", false),
        ("$HOME $(X) ${Y:-z} ${", "$HOME $(X) ${Y:-z} ${", false),
    ];
    for (reference, text, secret) in cases {
        assert_eq!(value_of(reference), (text.to_owned(), secret), "{reference}");
    }
}

#[test]
fn a_reference_that_names_nothing_stays_as_text_with_a_warning() {
    for reference in [
        "${MISSING}",
        "${missing.URL}",
        "${api.URL}",
        "${db-1.pool.URL}",
        "${cache.pool.REDIS_URL}",
        "${work.PUBLIC_URL}",
        "${rpc.PUBLIC_URL}",
        "${db-1.hostname}",
    ] {
        let environment = run("", &format!("{{key: A, value: 'x${{APP_ID}}{reference}y'}}"));
        assert_eq!(environment.get("A").unwrap().text, format!("xid-1{reference}y"));
        assert_eq!(environment.warnings.len(), 1, "{reference}");
        assert_eq!(environment.warnings[0].code, Code::UnknownReference);
        assert_eq!(environment.warnings[0].path, "services[0].envs[0].value");
    }
}

#[test]
fn variables_of_a_component_override_those_of_the_app_and_port_comes_last() {
    let keys = |environment: &Environment| -> Vec<String> {
        environment.vars.iter().map(|(key, value)| format!("{key}={}", value.text)).collect()
    };
    let app = "{key: A, value: app}, {key: B, value: app}";
    assert_eq!(keys(&run(app, "{key: B, value: own}, {key: C, value: own}")), ["A=app", "B=own", "C=own", "PORT=8080"]);
    assert_eq!(keys(&run(app, "{key: PORT, value: '1'}")), ["A=app", "B=app", "PORT=1"]);
    assert_eq!(keys(&run("{key: PORT, value: '2'}", "")), ["PORT=2"]);
    for (component, port) in [("api", Some("3000")), ("rpc", None), ("work", None), ("tidy", None)] {
        let environment = resolve_envs(&spec("", ""), component, Scope::Run, &facts()).unwrap();
        assert_eq!(environment.get("PORT").map(|v| v.text.as_str()), port, "{component}");
    }
}

#[test]
fn variables_may_refer_to_others_and_a_value_with_a_secret_is_secret() {
    let app = "{key: HOST, value: 'app-host'}, {key: TOKEN, value: s3cret, type: SECRET}";
    let own =
        "{key: HOST, value: 'own-host'}, {key: URL, value: 'https://${TOKEN}@${HOST}/'}, {key: ALL, value: '<${URL}>'}";
    let environment = run(app, own);
    let all = environment.get("ALL").unwrap();
    assert_eq!((all.text.as_str(), all.secret), ("<https://s3cret@own-host/>", true));
    assert!(!environment.get("HOST").unwrap().secret);
    assert!(!format!("{environment:?}").contains("s3cret"));
}

#[test]
fn circular_references_stay_as_text() {
    let environment = run(
        "",
        "{key: A, value: 'a${B}'}, {key: B, value: 'b${A}'}, {key: C, value: 'c${A}'}, {key: D, value: '${D}'}",
    );
    let text = |key| environment.get(key).unwrap().text.as_str();
    assert_eq!((text("A"), text("B"), text("C"), text("D")), ("a${B}", "b${A}", "ca${B}", "${D}"));
    // The reserved names of the app take precedence, so this is not circular.
    assert_eq!(
        run("", "{key: APP_URL, value: '${APP_URL}/x'}").get("APP_URL").unwrap().text,
        "http://shop.localhost:8080/x"
    );
}

#[test]
fn builds_get_build_time_variables_without_replaced_references() {
    let own = "{key: R, value: r, scope: RUN_TIME}, {key: B, value: '${APP_URL} ${api.PUBLIC_URL}', scope: BUILD_TIME}, \
               {key: D, value: '${db-1.DATABASE_URL} ${api.PRIVATE_URL} ${R}'}";
    let environment = resolve_envs(&spec("", own), "web", Scope::Build, &Facts::default()).unwrap();
    let vars: Vec<String> = environment.vars.iter().map(|(key, value)| format!("{key}={}", value.text)).collect();
    assert_eq!(vars, ["B=${APP_URL} ${api.PUBLIC_URL}", "D=${db-1.DATABASE_URL} ${api.PRIVATE_URL} ${R}"]);
}

#[test]
fn builds_for_a_detected_language_get_the_values_of_all_references_except_those_to_databases() {
    let own = "{key: R, value: r, scope: RUN_TIME}, {key: S, value: hush, type: SECRET}, {key: T, value: '${S}'}, \
               {key: B, value: '${APP_URL} ${api.PUBLIC_URL}', scope: BUILD_TIME}, \
               {key: D, value: '${db-1.DATABASE_URL} ${api.PRIVATE_URL} ${R}'}";
    let environment = resolve_envs(&spec("", own), "web", Scope::DetectedBuild, &facts()).unwrap();
    let get = |key| environment.get(key).map(|it| (it.text.as_str(), it.secret)).unwrap();
    assert_eq!(get("B"), ("http://shop.localhost:8080 http://shop.localhost:8080/api", false));
    assert_eq!(get("D"), ("${db-1.DATABASE_URL} http://api:3000 ${R}", false));
    assert_eq!(get("T"), ("hush", true), "it contains a secret");
}

#[test]
fn all_missing_values_are_reported_at_once() {
    let own = "{key: A, type: SECRET}, {key: B, value: 'EV[1:a:b]', type: SECRET}, {key: C, value: '${db-1.PORT}'}, \
               {key: D, value: '${A}'}";
    let facts = Facts { databases: Default::default(), ..facts() };
    let problems = resolve_envs(&spec("", own), "web", Scope::Run, &facts).unwrap_err();
    let found: Vec<(Code, &str)> = problems.iter().map(|p| (p.code, p.path.as_str())).collect();
    let wanted = [
        (Code::NeedsValue, "services[0].envs[0].value"),
        (Code::NeedsValue, "services[0].envs[1].value"),
        (Code::Missing, "services[0].envs[2].value"),
    ];
    assert_eq!(found, wanted);
    let problems = resolve_envs(&spec("", ""), "missing", Scope::Run, &facts).unwrap_err();
    assert_eq!(problems[0].code, Code::UnknownComponent);
}

#[test]
fn needed_values_are_missing_secrets_and_placeholders() {
    let spec = spec(
        "{key: T, value: '${T}'}",
        "{key: A, type: SECRET}, {key: APP_URL, value: '${APP_URL}'}, {key: X, value: y}",
    );
    let needed: Vec<(Option<String>, String)> =
        spec.needed_values().into_iter().map(|n| (n.component, n.key)).collect();
    assert_eq!(needed, [(None, "T".to_owned()), (Some("web".to_owned()), "A".to_owned())]);
}

#[test]
fn a_component_may_inherit_a_variable_of_the_app() {
    let handed_on = "{key: T, value: 'x${T}', type: SECRET}, {key: U, value: '${U}'}, {key: V, value: '<${T}>'}";
    let app = "{key: T, value: token}, {key: U, value: '${V}'}";
    let spec = spec(app, handed_on);
    assert_eq!(spec.needed_values(), []);
    let environment = resolve_envs(&spec, "web", Scope::Run, &facts()).unwrap();
    let values: Vec<String> = environment.vars.iter().map(|(key, value)| format!("{key}={}", value.text)).collect();
    assert_eq!(values, ["T=xtoken", "U=<xtoken>", "V=<xtoken>", "PORT=8080"]);
}

#[test]
fn needed_values_can_be_set_by_name() {
    let mut spec =
        spec("{key: T, value: '${T}'}", "{key: T, type: SECRET}, {key: A, value: 'EV[1:a:b]', type: SECRET}");
    let why: Vec<(String, Why, bool)> = spec.needed_values().into_iter().map(|n| (n.path, n.why, n.secret)).collect();
    let wanted = [
        ("envs[0].value", Why::Placeholder, false),
        ("services[0].envs[0].value", Why::Empty, true),
        ("services[0].envs[1].value", Why::SealedElsewhere, true),
    ];
    assert_eq!(why, wanted.map(|(path, why, secret)| (path.to_owned(), why, secret)));
    assert_eq!(spec.give(None, "T", "given"), 2);
    assert_eq!(spec.give(None, "T", "again"), 0);
    assert_eq!(spec.give(None, "A", "opened"), 1);
    assert_eq!(spec.needed_values(), []);
    assert_eq!(spec.envs[0].value, EnvValue::Plain("given".to_owned()));
    assert_eq!(spec.services[0].common.envs[0].value, EnvValue::Secret(SecretText::new("given")));
}

#[test]
fn a_value_can_be_set_for_one_component_only() {
    let text = "name: shop\nservices: [{name: web, IMAGE, envs: [{key: T, type: SECRET}]}]\n\
                workers: [{name: mill, IMAGE, envs: [{key: T, type: SECRET}]}]\n";
    let mut spec =
        AppSpec::from_yaml(&text.replace("IMAGE", "image: {registry_type: GHCR, registry: a, repository: b}"))
            .unwrap()
            .spec;
    assert_eq!(spec.give(Some("mill"), "T", "of the mill"), 1);
    assert_eq!(spec.give(Some("none"), "T", "lost"), 0);
    assert_eq!(spec.give(None, "T", "of the rest"), 1);
    assert_eq!(spec.services[0].common.envs[0].value, EnvValue::Secret(SecretText::new("of the rest")));
    assert_eq!(spec.workers[0].common.envs[0].value, EnvValue::Secret(SecretText::new("of the mill")));
}

#[test]
fn if_a_variable_is_defined_twice_only_the_last_definition_needs_a_value() {
    let mut given = spec("", "{key: A, value: '${A}'}, {key: A, value: real}");
    assert_eq!((given.needed_values(), given.give(None, "A", "x")), (vec![], 0));
    let mut open = spec("", "{key: A, value: real}, {key: A, value: '${A}'}");
    let paths: Vec<String> = open.needed_values().into_iter().map(|needed| needed.path).collect();
    assert_eq!(paths, ["services[0].envs[1].value"]);
    assert_eq!(open.give(None, "A", "x"), 1);
    assert_eq!(open, spec("", "{key: A, value: real}, {key: A, value: x}"));
}

#[test]
fn a_build_time_and_a_run_time_variable_may_both_need_a_value() {
    let two = |build: &str, run: &str| {
        spec("", &format!("{{key: A, value: {build}, scope: BUILD_TIME}}, {{key: A, value: {run}, scope: RUN_TIME}}"))
    };
    let mut open = two("'${A}'", "real");
    assert_eq!(open.give(None, "A", "x"), 1);
    assert_eq!(open, two("x", "real"));
    let mut open = two("'${A}'", "'${A}'");
    open.keep_values(&two("built", "run"));
    assert_eq!(open, two("built", "run"));
}

#[test]
fn a_kept_value_comes_from_the_effective_definition() {
    let before = spec("", "{key: A, value: replaced}, {key: A, value: real}");
    let mut after = spec("", "{key: A, value: '${A}'}");
    after.keep_values(&before);
    assert_eq!(after, spec("", "{key: A, value: real}"));
    let mut other_scope = spec("", "{key: A, value: '${A}', scope: BUILD_TIME}");
    other_scope.keep_values(&spec("", "{key: A, value: real, scope: RUN_TIME}"));
    assert_eq!(other_scope, spec("", "{key: A, value: real, scope: BUILD_TIME}"));
}

fn of_registry(registry: &str, credentials: &str) -> AppSpec {
    let text = format!(
        "name: shop\nservices:\n- name: web\n  image: {{registry_type: GHCR, registry: {registry}, repository: b, \
         registry_credentials: '{credentials}'}}\n"
    );
    AppSpec::from_yaml(&text).unwrap().spec
}

#[test]
fn registry_credentials_can_be_needed_and_set() {
    let why =
        |credentials| of_registry("a", credentials).needed_values().into_iter().map(|n| n.why).collect::<Vec<_>>();
    assert_eq!(why("${OWNER}:${TOKEN}"), [Why::Placeholder]);
    assert_eq!(why("EV[1:a:b]"), [Why::SealedElsewhere]);
    assert_eq!(why("user:token"), []);
    let mut spec = of_registry("a", "${OWNER}:${TOKEN}");
    assert_eq!(spec.give(Some("web"), "registry_credentials", "me:secret"), 1);
    assert_eq!(spec, of_registry("a", "me:secret"));
}

#[test]
fn a_needed_value_is_kept_from_the_earlier_spec() {
    let before = spec(
        "{key: T, value: app}",
        "{key: A, value: s3, type: SECRET}, {key: B, value: plain}, {key: C, value: '${C}'}, {key: E, value: x}",
    );
    let mut after = spec(
        "{key: T, value: '${T}'}",
        "{key: A, value: '${A}', type: SECRET}, {key: B, type: SECRET}, {key: C, value: '${C}'}, {key: D, type: SECRET}, \
         {key: E, value: 'EV[1:a:b]', type: SECRET}",
    );
    after.keep_values(&before);
    let open: Vec<String> = after.needed_values().into_iter().map(|n| n.key).collect();
    assert_eq!(
        open,
        ["C", "D", "E"],
        "C and D have no earlier value; E is sealed, so its earlier value does not apply"
    );
    assert_eq!(after.envs[0].value, EnvValue::Plain("app".to_owned()));
    assert_eq!(after.services[0].common.envs[0].value, EnvValue::Secret(SecretText::new("s3")));
    assert_eq!(after.services[0].common.envs[1].value, EnvValue::Secret(SecretText::new("plain")));
}

#[test]
fn a_kept_secret_stays_secret_and_keeps_its_registry() {
    let before = spec("", "{key: A, value: s3, type: SECRET}");
    let mut after = spec("", "{key: A, value: '${A}'}");
    after.keep_values(&before);
    assert_eq!(after.needed_values().len(), 1, "a secret does not become a plain value");

    let before = of_registry("a", "me:secret");
    let (mut same, mut other) = (of_registry("a", "${X}"), of_registry("other", "${X}"));
    same.keep_values(&before);
    other.keep_values(&before);
    assert_eq!(same, before);
    assert_eq!(other, of_registry("other", "${X}"));
}

#[test]
fn values_that_grow_without_limit_are_refused() {
    let doubling: String =
        (0..20).map(|i| format!("{{key: K{i}, value: '${{K{n}}}${{K{n}}}'}}, ", n = i + 1)).collect();
    let own = format!("{doubling}{{key: K20, value: {}}}", "x".repeat(100));
    let problems = resolve_envs(&spec("", &own), "web", Scope::Run, &facts()).unwrap_err();
    assert!(problems.iter().all(|p| p.code == Code::TooLarge));
    let chain: String = (0..100).map(|i| format!("{{key: K{i}, value: '${{K{}}}'}}, ", i + 1)).collect();
    let environment = run("", &format!("{chain}{{key: K100, value: end}}"));
    assert_eq!(environment.get("K90").unwrap().text, "end");
    assert!(environment.get("K0").unwrap().text.starts_with("${K"));
}
