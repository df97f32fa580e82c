//! What people see when a spec is wrong: each case is a text and what is said about it, to the letter.
#![allow(clippy::unwrap_used)]

mod support;

use app_spec::{AppSpec, Code, Diagnostics, Severity};
use support::{problems, service};

/// `line:column severity code path message | help`, one line per problem.
fn said(text: &str) -> Vec<String> {
    let line = |d: &app_spec::Diagnostic| {
        let at = d.place.map_or_else(|| "-".to_owned(), |p| format!("{}:{}", p.line, p.column));
        let help = d.help.as_ref().map_or_else(String::new, |h| format!(" | {h}"));
        format!("{at} {} {} {}: {}{help}", d.severity.as_str(), d.code, d.path, d.message)
    };
    problems(text).iter().map(line).collect()
}

#[test]
fn what_cannot_run_yet_is_told_beside_what_is_wrong() {
    let text = service("  http_prt: 80\ndomains: [{domain: example.com}]\n");
    let problems = AppSpec::from_yaml(&text).unwrap_err();
    let codes: Vec<&str> = problems.iter().map(|d| d.code.as_str()).collect();
    assert_eq!(codes, ["unknown_field", "not_yet"]);
    assert_eq!(problems[1].line(), Some(6));
}

#[test]
fn fields_types_and_words_are_diagnosed_where_they_stand() {
    let cases: &[(&str, &str)] = &[
        (
            "  htp_port: 80\n",
            "5:3 error unknown_field services[0]: a service has no field `htp_port` | did you mean `http_port`?",
        ),
        (
            "  dockerfilePath: x\n",
            "5:3 error unknown_field services[0]: a service has no field `dockerfilePath` | did you mean `dockerfile_path`?",
        ),
        (
            "  http_path: /x\n",
            "5:3 error unknown_field services[0]: a service has no field `http_path` | \
             `http_path` belongs under `health_check` or `liveness_health_check`",
        ),
        ("  volumes: []\n", "5:3 error unknown_field services[0]: a service has no field `volumes`"),
        (
            "  http_port: 70000\n",
            "5:14 error out_of_range services[0].http_port: 70000 is out of range | allowed: 1 to 65535",
        ),
        (
            "  http_port: -1\n",
            "5:14 error out_of_range services[0].http_port: -1 is out of range | allowed: 1 to 65535",
        ),
        (
            "  http_port: \"3000\"\n",
            "5:14 warning converted services[0].http_port: text where a number is expected, taken as 3000 | \
             leave out the quotes",
        ),
        ("  http_port: web\n", "5:14 error wrong_type services[0].http_port: expected a number, found text"),
        ("  http_port: 80.5\n", "5:14 error wrong_type services[0].http_port: expected a whole number, found `80.5`"),
        ("  http_port: [80]\n", "5:14 error wrong_type services[0].http_port: expected a number, found a list"),
        (
            "  instance_count: ${N}\n",
            "5:19 error unsubstituted services[0].instance_count: `${N}` is a placeholder that nothing has replaced | \
             replace it before the spec is applied",
        ),
        (
            "  instance_size_slug: basic_xxs\n",
            "5:23 error unknown_value services[0].instance_size_slug: there is no instance size `basic_xxs` | \
             did you mean `basic-xxs`?",
        ),
        (
            "  protocol: HTTP3\n",
            "5:13 error unknown_value services[0].protocol: `HTTP3` is not allowed here | did you mean `HTTP`?",
        ),
        (
            "  envs:\n    A: b\n",
            "5:3 error wrong_type services[0].envs: expected a list, found a mapping | \
             write `- key: …` and `value: …` for each",
        ),
        (
            "  envs:\n  - A=b\n",
            "6:5 error wrong_type services[0].envs[0]: expected an environment variable (a mapping of fields), found text | \
             write `- {key: A, value: …}`",
        ),
        (
            "  envs: [{key: 1A, value: x}]\n",
            "5:16 error bad_name services[0].envs[0].key: `1A` is not the name of a variable: letters, digits and `_`, \
             no digit first",
        ),
        (
            "  envs: [{key: A, value: 012}]\n",
            "5:26 warning converted services[0].envs[0].value: a number where text is expected, taken as text as it is \
             written | put it in quotes",
        ),
        (
            "  envs: [{key: A, value: on}]\n",
            "5:26 warning converted services[0].envs[0].value: taken as text as it is written; older YAML readers take \
             it for something else | put it in quotes",
        ),
        (
            "  envs: [{key: A, scope: RUNTIME}]\n",
            "5:26 error unknown_value services[0].envs[0].scope: `RUNTIME` is not allowed here | did you mean `RUN_TIME`?",
        ),
        (
            "  envs: [{key: A, type: SECRET}]\n",
            "5:16 warning needs_value services[0].envs[0].key: the secret `A` has no value yet | give it when the app \
             is created, or it is kept from before",
        ),
        (
            "  envs: [{key: A, value: '${A}'}]\n",
            "5:26 warning needs_value services[0].envs[0].value: `${A}` is a placeholder for the value of this very \
             variable | give the value, or let a deploy tool fill it in",
        ),
        (
            "  envs: [{key: A, value: 'EV[1:a:b]', type: SECRET}]\n",
            "5:16 warning needs_value services[0].envs[0].key: the value of `A` is sealed, and only whoever sealed it can \
             open it | give it again when the app is created; an app keeps those that it sealed itself",
        ),
        (
            "  envs: [{key: A, value: '${A}', type: SECRET}]\n",
            "5:26 warning needs_value services[0].envs[0].value: `${A}` is a placeholder for the value of this very \
             variable | give the value, or let a deploy tool fill it in",
        ),
        (
            "  envs: [{key: A, value: 'x${B}'}, {key: B, value: '${C}'}, {key: C, value: '${A}'}]\n",
            "5:26 warning circular_reference services[0].envs[0].value: these variables refer to each other in a circle \
             and stay as text: A → B → C → A | write one of them out",
        ),
        (
            "  envs: [{key: A, value: 'PLEASE_CHANGE_ME', type: SECRET}]\n",
            "5:26 warning doubtful services[0].envs[0].value: the value of `A` looks like a stand-in for the real one",
        ),
        (
            "  envs: [{key: A, value: '${db.PORT}', scope: BUILD_TIME}]\ndatabases: [{name: db}]\n",
            "5:26 warning doubtful services[0].envs[0].value: database `db` has no values while something is built | \
             give the variable `scope: RUN_TIME`",
        ),
        (
            "workers:\n- {name: work, image: {registry_type: GHCR, registry: Acme, repository: x}}\n",
            "6:55 warning doubtful workers[0].image.registry: names of images have small letters only: `acme` is pulled",
        ),
        (
            "  envs: [{key: A, value: '${wbe.PASSWORD}', type: SECRET}]\n",
            "5:27 warning unknown_reference services[0].envs[0].value: `${wbe.PASSWORD}` names nothing and stays as \
             text | did you mean `web`?",
        ),
        (
            "  envs: [{key: A, value: '${wbe.PUBLIC_URL}'}]\n",
            "5:27 warning unknown_reference services[0].envs[0].value: `${wbe.PUBLIC_URL}` names nothing and stays as \
             text | did you mean `web`?",
        ),
        (
            "  envs: [{key: A, value: '${web.URL}'}]\n",
            "5:27 warning unknown_reference services[0].envs[0].value: `${web.URL}` names nothing and stays as text | \
             service `web` has PUBLIC_URL, PUBLIC_ROUTE_PATH, COMMIT_HASH, PRIVATE_DOMAIN, PRIVATE_URL or PRIVATE_PORT",
        ),
        (
            "  envs: [{key: PORT, value: '3000'}]\n",
            "5:29 warning doubtful services[0].envs[0].value: PORT is 3000, but requests go to port 8080 | \
             set `http_port: 3000`",
        ),
        (
            "  image: {registry_type: GHCR, repository: x}\n",
            "5:3 error conflict services[0].image: a component has one source, here are `git` and `image` | \
             keep one of them",
        ),
        (
            "  routes: [{path: api}]\n",
            "5:19 error bad_format services[0].routes[0].path: the path `api` does not begin with `/` | \
             did you mean `/api`?",
        ),
        (
            "  routes: [{path: /a}, {path: /a/}]\n",
            "5:31 error route_clash services[0].routes[1].path: the path `/a` is taken by `services[0].routes[0].path`",
        ),
        (
            "workers:\n- name: api\n",
            "6:3 error missing workers[0]: a worker needs a source: one of `git`, `github`, `gitlab`, `bitbucket`, \
             `image`",
        ),
        (
            "databases: [{name: web}]\n",
            "5:20 error name_clash databases[0].name: the name `web` is taken by `services[0].name` | \
             give every component and database a name of its own",
        ),
        (
            "databases: [{nmae: db}]\n",
            "5:14 error unknown_field databases[0]: a database has no field `nmae` | did you mean `name`?",
        ),
        (
            "databases: [{name: db, engine: postgres}]\n",
            "5:32 error unknown_value databases[0].engine: `postgres` is not allowed here | did you mean `PG`?",
        ),
        (
            "jobs: {name: tidy, image: {registry_type: GHCR, registry: a, repository: tidy}}\n",
            "5:7 error wrong_type jobs: expected a list, found a mapping | put `- ` before each item",
        ),
        (
            "ingress: {rules: [{component: {name: wep}}]}\n",
            "5:38 error unknown_component ingress.rules[0].component.name: there is no component `wep` | \
             did you mean `web`?",
        ),
        (
            "ingress: {rules: [{match: {path: {prefix: /}}}]}\n",
            "5:19 error missing ingress.rules[0]: an ingress rule needs `component` or `redirect`",
        ),
        (
            "ingress: {rules: [{component: {name: web, preserve_path_prefix: 'true'}}]}\n",
            "5:65 warning converted ingress.rules[0].component.preserve_path_prefix: text where a boolean is expected, \
             taken as true | write true without quotes",
        ),
        (
            "  health_check: {http_path: health}\n",
            "5:29 warning doubtful services[0].health_check.http_path: the path `health` does not begin with `/` | \
             did you mean `/health`?",
        ),
        (
            "  autoscaling: {min_instance_count: 1, max_instance_count: 2, metrics: {}}\n  \
               instance_size_slug: apps-d-1vcpu-1gb\n",
            "5:63 error missing services[0].autoscaling.metrics: autoscaling needs something to watch, for example \
             `cpu: {percent: 80}`",
        ),
        (
            "  autoscaling: {min_instance_count: 0, max_instance_count: 2, metrics: {cpu: {}}}\n  \
               instance_size_slug: apps-d-1vcpu-1gb\n",
            "5:16 error missing services[0].autoscaling.min_instance_count: autoscaling needs `min_instance_count`",
        ),
        (
            "  cors: {allow_origins: [{}]}\n",
            "5:26 error missing services[0].cors.allow_origins[0]: an origin is given in exactly one way, here are 0 | \
             one of `exact`, `prefix`, `regex`",
        ),
        (
            "  cors: {max_age: 86400}\n",
            "5:19 error bad_format services[0].cors.max_age: `86400` is not a duration such as `1h30m` or `90s` | \
             did you mean `86400s`?",
        ),
        (
            "  alerts: [{rule: DOMAIN_FAILED}]\n",
            "5:19 warning doubtful services[0].alerts[0].rule: DOMAIN_FAILED watches the whole app, not a service | \
             give it under `alerts` of the app",
        ),
        (
            "  log_destinations: [{name: logs, open_search: {}}]\n",
            "5:35 error missing services[0].log_destinations[0].open_search: an OpenSearch destination needs `endpoint` \
             or `cluster_name`",
        ),
        (
            "jobs:\n- {name: tid, git: {repo_clone_url: /x}, kind: SCHEDULED, schedule: {cron: '0 24 * * *'}}\n",
            "6:76 error bad_format jobs[0].schedule.cron: `0 24 * * *` is not a cron line | `24` is no hour: 0 to 23",
        ),
        (
            "domains: [{domain: '*.example.com'}]\n",
            "5:20 error bad_format domains[0].domain: `*.example.com` is not a host name | \
             write `domain: example.com` and `wildcard: true`",
        ),
        (
            "databases: [{name: db, production: true}]\n",
            "5:36 warning doubtful databases[0].production: App Platform takes a production database from a cluster of \
             the account, by its name | give `cluster_name`, or leave `production` out",
        ),
        (
            "  http_port: 80\n  port: 81\n",
            "6:3 error unknown_field services[0]: a service has no field `port` | `http_port`, which may be meant, is \
             given too: leave this out",
        ),
        (
            "  health_check: true\n",
            "5:17 error wrong_type services[0].health_check: expected a health check (a mapping of fields), found a boolean",
        ),
        (
            "  log_destinations: [{name: logs, logtail: {}}]\n",
            "5:44 error missing services[0].log_destinations[0].logtail.token: a Logtail destination needs `token`",
        ),
        (
            "  log_destinations: [{name: logs, logtail: [x]}]\n",
            "5:44 error wrong_type services[0].log_destinations[0].logtail: expected a Logtail destination (a mapping of \
             fields), found a list | leave out the `- ` before the fields",
        ),
        (
            "  autoscaling: {min_instance_count: 1, max_instance_count: 2, metrics: {memory: 1}}\n  \
               instance_size_slug: apps-d-1vcpu-1gb\n",
            "5:73 error unknown_field services[0].autoscaling.metrics: metrics of autoscaling has no field `memory`",
        ),
        (
            "jobs:\n- {name: tid, git: {repo_clone_url: /x}, kind: SCHEDULED, schedule: '*/5 * * * *'}\n",
            "6:69 error wrong_type jobs[0].schedule: expected a schedule (a mapping of fields), found text | \
             write `schedule: {cron: \"*/5 * * * *\"}`",
        ),
        (
            "  {{ more }}: x\n",
            "5:3 error unsubstituted services[0]: `{{ more }}` is a placeholder that nothing has replaced | \
             replace it before the spec is applied",
        ),
        (
            "  run_command: [npm, start, 'a b']\n",
            "5:16 error wrong_type services[0].run_command: expected text, found a list | write `npm start 'a b'`",
        ),
        (
            "  build_command:\n  - npm ci\n  - npm run build\n",
            "5:3 error wrong_type services[0].build_command: expected text, found a list | \
             write `npm ci && npm run build`",
        ),
        (
            "  source_dir: [app]\n",
            "5:15 error wrong_type services[0].source_dir: expected text, found a list | \
             write its only item in place of the list",
        ),
        (
            "  http_port: 99999999999999999999999\n",
            "5:14 error out_of_range services[0].http_port: 99999999999999999999999 is out of range | allowed: 1 to 65535",
        ),
        (
            "  alerts: [{rule: CPU_UTILIZATION, value: '80'}]\n",
            "5:43 warning converted services[0].alerts[0].value: text where a number is expected, taken as 80 | \
             leave out the quotes",
        ),
        (
            "  alerts: [{rule: CPU_UTILIZATION, value: '${V}'}]\n",
            "5:43 error unsubstituted services[0].alerts[0].value: `${V}` is a placeholder that nothing has replaced | \
             replace it before the spec is applied",
        ),
        (
            "  routes: [{preserve_path_prefix: '${B}'}]\n",
            "5:35 error unsubstituted services[0].routes[0].preserve_path_prefix: `${B}` is a placeholder that nothing \
             has replaced | replace it before the spec is applied",
        ),
        (
            "  protocol: '${PR}'\n",
            "5:13 error unsubstituted services[0].protocol: `${PR}` is a placeholder that nothing has replaced | \
             write HTTP or HTTP2",
        ),
        (
            "  registry_type: GHCR\n",
            "5:3 error unknown_field services[0]: a service has no field `registry_type` | \
             `registry_type` belongs under `image`",
        ),
        (
            "http_port: 80\n",
            "5:1 error unknown_field : an app spec has no field `http_port` | `http_port` belongs under `services`",
        ),
    ];
    for (more, wanted) in cases {
        assert_eq!(said(&service(more)), [*wanted], "{more}");
    }
}

#[test]
fn whole_texts_are_diagnosed() {
    let cases: &[(&str, &str)] = &[
        ("", "- error missing : the spec is empty"),
        ("# only a comment\n", "- error missing : the spec is empty"),
        ("just text", "1:1 error wrong_type : expected an app spec (a mapping of fields), found text"),
        ("a: b: c", "1:5 error syntax : a second `: ` stands in this line | quote text that holds `: `"),
        (
            "name: shop\nname: shop\n",
            "2:1 error duplicate_key name: `name` is given twice, first in line 1 | keep one of them",
        ),
        (
            "name: !!str shop\n",
            "1:7 error tag_not_allowed name: the tag `!!str` has no meaning in a spec | \
                                remove the tag; quote the value to make it text",
        ),
        (
            "name: shop\ndatabases:\n- !Managed\n  name: db\n",
            "3:3 error tag_not_allowed databases[0]: the tag `!Managed` has no meaning in a spec | \
             remove the tag; quote the value to make it text",
        ),
        (
            "name: shop\ndatabases: [{name: db}]\nenvs:\n- key: A\n  value: !hunter2\n  scope: RUN_TIME\n",
            "5:10 error tag_not_allowed envs[0].value: a tag, which is what `!` begins, has no meaning in a spec | \
             remove the tag; quote the value to make it text",
        ),
        ("name: a\n---\nname: b\n", "2:1 error syntax : a spec is one YAML document; here a second one begins"),
        (
            "name: {{ app }}\n",
            "1:7 error unsubstituted name: `{{ app }}` is a placeholder that nothing has replaced | \
             replace it before the spec is applied",
        ),
        (
            "name: shop # a\0b\nregion: fra\n",
            "1:15 error syntax : the text holds the control character U+0000 | \
             in double quotes it can be written as an escape, such as `\\x1b`",
        ),
        ("a: &a [*a]\n", "1:8 error syntax : this alias stands inside the very value that it names"),
        ("name: shop\n", "- warning doubtful : there is no component and no database: nothing to run"),
    ];
    for (text, wanted) in cases {
        assert_eq!(said(text), [*wanted], "{text:?}");
    }
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_text() {
    let text = "name: Shop\nservices:\n- name: web\n  http_port: 0x1FFFF\n  envs:\n  - {key: A, scope: never}\n  \
                bogus: 1\nworkers:\n- git: {repo_clone_url: /x}\n";
    let codes: Vec<(Code, u32)> = problems(text).iter().map(|d| (d.code, d.line().unwrap())).collect();
    let wanted = [
        (Code::BadName, 1),
        (Code::Missing, 3),
        (Code::OutOfRange, 4),
        (Code::UnknownValue, 6),
        (Code::UnknownField, 7),
        (Code::Missing, 9),
    ];
    assert_eq!(codes, wanted);
}

#[test]
fn the_api_is_answered_in_its_own_words() {
    let problems = problems(&service("  http_port: 70000\n"));
    let wanted =
        "error validating app spec field \"services.http_port\": 70000 is out of range; allowed: 1 to 65535 (line 5)";
    assert_eq!(problems.first_error().unwrap().api_message(), wanted);
    let json = serde_json::json!({"name": "shop", "bogus": true});
    let problems = AppSpec::from_json(&json).unwrap_err();
    assert_eq!(problems[0].api_message(), "error validating app spec: an app spec has no field `bogus`");
    let written = serde_json::to_value(&problems).unwrap();
    let wanted = serde_json::json!([{"severity": "error", "code": "unknown_field", "path": "", "line": null,
        "column": null, "message": "an app spec has no field `bogus`", "help": null}]);
    assert_eq!(written, wanted);
}

#[test]
fn too_many_problems_are_counted_and_not_kept() {
    let text = service(&(0..500).map(|i| format!("  bogus{i}: 1\n")).collect::<String>());
    let problems = problems(&text);
    assert_eq!(problems.len(), Diagnostics::LIMIT);
    assert_eq!(problems.omitted(), 300);
    assert!(problems.render("app.yaml", &text).ends_with("200 errors, 0 warnings, 300 more not shown\n"));
}

#[test]
fn an_error_behind_more_warnings_than_are_kept_refuses_the_spec() {
    let envs: String = (0..300).map(|i| format!("  - {{key: K{i}, value: {i}}}\n")).collect();
    let text = service(&format!("  envs:\n{envs}  bogus: 1\n  protocol: FTP\n"));
    let problems = problems(&text);
    let errors: Vec<Code> = problems.iter().filter(|d| d.is_error()).map(|d| d.code).collect();
    assert_eq!(errors, [Code::UnknownField, Code::UnknownValue]);
    assert_eq!((problems.len(), problems.omitted(), problems.omitted_errors()), (200, 102, 0));
}

#[test]
fn warnings_alone_refuse_nothing() {
    let parsed = AppSpec::from_yaml(&service("  http_port: '80'\n")).unwrap();
    assert!(parsed.warnings.iter().all(|d| d.severity == Severity::Warning));
    assert_eq!(parsed.spec.services[0].http_port, Some(80));
}
