//! What is said about the values of variables: which references stay as text, and what only looks like one.
#![allow(clippy::unwrap_used)]

mod support;

use support::{problems, service};

/// `message | help` of the only problem, without its place; empty when there is none.
fn said(text: &str) -> String {
    let found = problems(text);
    assert!(found.len() <= 1, "{text}\n{found}");
    let line = |d: &app_spec::Diagnostic| match &d.help {
        Some(help) => format!("{} {}: {} | {help}", d.code, d.path, d.message),
        None => format!("{} {}: {}", d.code, d.path, d.message),
    };
    found.iter().map(line).collect()
}

/// Of a variable of the service.
fn own(variables: &str, more: &str) -> String {
    said(&service(&format!("  envs: [{variables}]\n{more}"))).replace("services[0].envs[0].value", "V")
}

#[test]
fn references_that_stay_as_text_are_told() {
    let cases = [
        (
            "{key: A, value: '${ww.COMMIT_HASH} ${rpc.PUBLIC_URL}'}",
            "unknown_reference V: `${rpc.PUBLIC_URL}` has no value and stays as text | no route leads to `rpc`",
        ),
        (
            "{key: PATH, value: '/app/bin:${PATH}'}",
            "unknown_reference V: `${PATH}` is this very variable and stays as text | write its value out",
        ),
        ("{key: LANG, value: '${LANG}.UTF-8'}", ""),
        ("{key: A, value: '${db.pool.DATABASE_URL}'}", ""),
        (
            "{key: A, value: '${db.a.b.DATABASE_URL}'}",
            "unknown_reference V: `${db.a.b.DATABASE_URL}` names nothing and stays as text | database `db` has HOSTNAME, \
             PORT, USERNAME, PASSWORD, DATABASE, DATABASE_URL, JDBC_DATABASE_URL or CA_CERT",
        ),
    ];
    let more = "- {name: rpc, git: {repo_clone_url: /x}, internal_ports: [90]}\nworkers: [{name: ww, git: {repo_clone_url: \
                /x}}]\ndatabases: [{name: db}]\nenvs: [{key: LANG, value: en}]\n";
    for (variable, wanted) in cases {
        assert_eq!(own(variable, more), wanted, "{variable}");
    }
}

#[test]
fn in_a_variable_of_the_app_self_is_each_component_in_turn() {
    let app =
        |name: &str, more: &str| said(&service(&format!("{more}envs: [{{key: A, value: '${{_self.{name}}}'}}]\n")));
    let worker = "workers: [{name: ww, git: {repo_clone_url: /x}}]\n";
    assert_eq!(app("COMMIT_HASH", worker), "");
    assert_eq!(app("PRIVATE_URL", ""), "");
    let wanted = "unknown_reference envs[0].value: `${_self.PRIVATE_URL}` names nothing in `ww` and stays as text there | \
                  worker `ww` has COMMIT_HASH";
    assert_eq!(app("PRIVATE_URL", worker), wanted);
}

#[test]
fn references_inside_a_secret_are_told_without_the_rest_of_it() {
    let more = "databases: [{name: db, engine: PG}]\n";
    let secret = |value: &str| own(&format!("{{key: A, type: SECRET, value: '{value}'}}"), more);
    let of_database = "database `db` has HOSTNAME, PORT, USERNAME, PASSWORD, DATABASE, DATABASE_URL, \
                       JDBC_DATABASE_URL or CA_CERT";
    let unknown = "unknown_reference V: a reference in this value names nothing and stays as text";
    let cases = [
        ("u:${db.PORT}@${APP_URL}", String::new()),
        (
            "u:${db.PASWORD}@${db.HOSTNAME}/x",
            format!("unknown_reference V: `${{db.PASWORD}}` names nothing and stays as text | {of_database}"),
        ),
        ("u:${ddb.PORT}x", format!("{unknown} | the components and databases are `web`, `db`")),
        ("u:${BB}x", format!("{unknown} | no variable of this component or of the app has that name")),
    ];
    for (value, wanted) in cases {
        assert_eq!(secret(value), wanted, "{value}");
    }
    let named = "{key: TOKEN, value: 'u:${ddb.PORT}x'}";
    assert_eq!(own(named, more), format!("{unknown} | the components and databases are `web`, `db`"));
    let broken = "doubtful V: the value of `TOKEN` holds what is no reference and stays as text | \
                  references are `${NAME}` and `${component.NAME}`";
    assert_eq!(own("{key: TOKEN, value: 'x${db.PORT'}", more), broken);
}

#[test]
fn a_build_with_a_dockerfile_replaces_no_references() {
    let more = "databases: [{name: db}]\nenvs: [{key: B, value: b, scope: RUN_TIME}]\n";
    let as_text = |written: &str| {
        format!(
            "doubtful V: a build with a Dockerfile replaces no references: `{written}` stays as text | write the value \
             out, or give the variable `scope: RUN_TIME`"
        )
    };
    for written in ["${APP_URL}", "${_self.PRIVATE_URL}", "${web.PRIVATE_URL}", "${B}"] {
        let variable = |scope: &str| format!("{{key: A, value: 'x {written}', scope: {scope}}}");
        assert_eq!(own(&variable("BUILD_TIME"), more), as_text(written));
        assert_eq!(own(&variable("RUN_AND_BUILD_TIME"), more), "", "at run time it has its value");
    }
    let of_app = said(&service("envs: [{key: A, value: '${APP_URL}', scope: BUILD_TIME}]\n"));
    assert_eq!(of_app, as_text("${APP_URL}").replace("V:", "envs[0].value:"));
}

#[test]
fn a_build_for_a_language_has_no_databases_and_no_private_addresses() {
    let site = |value: &str, more: &str| {
        let site =
            "static_sites: [{name: docs, git: {repo_clone_url: /x}, routes: [{path: /docs}], envs: [{key: A, value: ";
        let found = said(&format!(
            "{}{site}'{value}'}}{more}]}}]\ndatabases: [{{name: db}}]\n",
            service("  routes: [{path: /}]\n")
        ));
        let advice = " | a static site is only built: write the value out";
        found.replace("static_sites[0].envs[0].value", "V").replace(advice, "")
    };
    assert_eq!(site("${APP_URL} ${web.PUBLIC_URL} ${B}", ", {key: B, value: b}"), "");
    assert_eq!(site("${db.PORT}", ""), "doubtful V: database `db` has no values while something is built");
    assert_eq!(
        site("${web.PRIVATE_URL}", ""),
        "doubtful V: `${web.PRIVATE_URL}` has no value while something is built"
    );
    let run_time = ", {key: B, value: b, scope: RUN_TIME}";
    assert_eq!(site("${B}", run_time), "doubtful V: `${B}` has no value while something is built");
    let function = "functions: [{name: ff, git: {repo_clone_url: /x}, routes: \
                    [{path: /f}], envs: [{key: A, value: '${B}', scope: BUILD_TIME}, {key: B, value: 'x${db.PORT}'}]}]\n";
    let wanted = "doubtful functions[0].envs[0].value: `${db.PORT}`, behind `${B}`, has no value while something is built | \
                  give the variable `scope: RUN_TIME`";
    assert_eq!(said(&service(&format!("{function}databases: [{{name: db}}]\n"))), wanted);
}

#[test]
fn what_only_looks_like_a_reference_is_told_once() {
    let form = "references are `${NAME}` and `${component.NAME}`";
    for written in ["${FOO:-bar}", "${web.PORT", "${ web.PORT }", "${{ secrets.S }}", "{{ db_url }}"] {
        let wanted = format!("doubtful V: `{written}` is no reference and stays as text | {form}");
        assert_eq!(own(&format!("{{key: A, value: '{written}'}}"), ""), wanted);
    }
    let secret = |value: &str| own(&format!("{{key: A, type: SECRET, value: '{value}'}}"), "");
    assert_eq!(
        secret("{{ token }}"),
        format!("doubtful V: the value of `A` is a template that nobody replaces | {form}")
    );
    assert_eq!(secret("pa${ss{{word"), "");
    assert_eq!(own("{key: A, value: '{\"a\": {\"b\": {{1}, {2}}}}'}", ""), "");
}

#[test]
fn a_sealed_value_needs_its_type() {
    let wanted =
        "doubtful V: the value of `A` is sealed, and without a type it is passed on as it stands | add `type: SECRET`";
    assert_eq!(own("{key: A, value: 'EV[1:a:b]'}", ""), wanted);
}
