//! What is said about fields that are each well-formed, and together or in their place are not what was meant.
#![allow(clippy::unwrap_used)]

mod support;

use support::{problems, service};

/// `severity code path: message | help`, one line per problem.
fn said(text: &str) -> Vec<String> {
    let line = |d: &app_spec::Diagnostic| {
        let help = d.help.as_ref().map_or_else(String::new, |help| format!(" | {help}"));
        format!("{} {} {}: {}{help}", d.severity.as_str(), d.code, d.path, d.message)
    };
    problems(text).iter().map(line).collect()
}

fn says(cases: &[(&str, &str)]) {
    for (more, wanted) in cases {
        let wanted: Vec<&str> = Some(*wanted).filter(|it| !it.is_empty()).into_iter().collect();
        assert_eq!(said(&service(more)), wanted, "{more}");
    }
}

#[test]
fn words_and_languages_in_other_letters_are_told() {
    says(&[
        ("  protocol: Http\n", "warning converted services[0].protocol: `Http` is taken as `HTTP` | write `HTTP`"),
        (
            "  environment_slug: nodejs\n",
            "warning doubtful services[0].environment_slug: `nodejs` is no language that App Platform names | did you mean \
             `node-js`?",
        ),
        ("  environment_slug: node-js\n", ""),
    ]);
}

#[test]
fn sources_name_what_there_is() {
    says(&[
        ("workers: [{name: ww, bitbucket: {repo: a/b/c}}, {name: xx, gitlab: {repo: a/b/c/d}}]\n", ""),
        (
            "workers: [{name: ww, github: {repo: a/b/c}}]\n",
            "error bad_format workers[0].github.repo: `a/b/c` is not `owner/repo`",
        ),
        (
            "  source_dir: ${SD}\n",
            "warning unsubstituted services[0].source_dir: `${SD}` is a placeholder that nothing has replaced | replace \
             it before the spec is applied",
        ),
        (
            "static_sites: [{name: docs, git: {repo_clone_url: /x}, routes: [{path: /docs}], dockerfile_path: '{{ df }}'}]\n",
            "warning unsubstituted static_sites[0].dockerfile_path: `{{ df }}` is a placeholder that nothing has \
             replaced | replace it before the spec is applied",
        ),
        ("  run_command: ./web --port ${PORT}\n", ""),
    ]);
}

#[test]
fn images_have_a_registry_an_owner_and_a_tag_in_its_place() {
    let worker = |image: &str| format!("workers: [{{name: ww, image: {{{image}}}}}]\n");
    let cases = [
        (
            "registry_type: GHCR, repository: nginx",
            "warning doubtful workers[0].image.registry: an image of GHCR belongs to somebody, and \
             `ghcr.io/nginx:latest` names nobody | give the owner as `registry`",
        ),
        ("registry_type: GHCR, repository: acme/web", ""),
        ("registry_type: GHCR, registry: ghcr.io/acme, repository: web", ""),
        (
            "registry_type: UNSPECIFIED, registry: library, repository: nginx",
            "warning doubtful workers[0].image.registry_type: no registry is named, so Docker Hub is asked | write \
             `DOCKER_HUB`, `GHCR` or `DOCR`",
        ),
        (
            "registry_type: DOCKER_HUB, repository: 'acme/nginx:1.27', tag: v1",
            "error bad_format workers[0].image.repository: the tag `1.27` is no part of the name | write `repository: \
             acme/nginx` and `tag: \"1.27\"`",
        ),
        (
            "registry_type: DOCKER_HUB, repository: 'nginx:1.27', digest: 'sha256:DIGEST'",
            "warning doubtful workers[0].image.repository: the digest alone pins the image; `:1.27` says nothing | \
             write `repository: nginx`",
        ),
        ("registry_type: DOCKER_HUB, registry: 'localhost:5000', repository: nginx", ""),
        ("registry_type: DOCKER_HUB, repository: 'localhost:5000/nginx'", ""),
    ];
    let cases = cases.map(|(image, wanted)| (worker(&image.replace("DIGEST", &"0a".repeat(32))), wanted));
    says(&cases.each_ref().map(|(more, wanted)| (more.as_str(), *wanted)));
}

#[test]
fn databases_have_versions_that_there_are() {
    let refused = |text: &str, code: &str, message: &str| {
        let wanted = format!("error {code} databases[0].version: `{text}` {message}");
        assert_eq!(said(&service(&format!("databases: [{{name: db, version: '{text}'}}]\n"))), [wanted]);
    };
    refused(
        "${V}",
        "unsubstituted",
        "is a placeholder that nothing has replaced | replace it before the spec is applied",
    );
    for text in ["16 alpine", " ", "16.4; drop", "-16"] {
        refused(text, "bad_format", "cannot be a version: letters, digits, `_`, `.`, `-`, at most 128");
    }
    says(&[
        ("databases: [{name: db, version: '16.4-alpine'}]\n", ""),
        ("databases: [{name: db, engine: MONGODB, version: '7.0'}, {name: kv, engine: VALKEY, version: '8'}]\n", ""),
        (
            "databases: [{name: db, version: v16}]\n",
            "warning doubtful databases[0].version: App Platform has no PG of version `v16` | known: 13, 14, 15, 16, 17 \
             or 18",
        ),
        (
            "databases: [{name: db, engine: REDIS, version: '70'}]\n",
            "warning doubtful databases[0].version: App Platform has no REDIS of version `70` | known: 7",
        ),
    ]);
}

#[test]
fn ports_agree_wherever_they_are_given() {
    let of_app =
        "warning doubtful envs[0].value: PORT is 3000, but requests to `web` go to port 8080 | set `http_port: 3000`";
    let own = "warning doubtful services[0].envs[0].value: PORT is 3000, but requests go to port 8080 | set `http_port: 3000`";
    says(
        &[
            ("envs: [{key: PORT, value: '3000'}]\n", of_app),
            ("envs: [{key: PORT, value: '8080'}]\n", ""),
            ("envs: [{key: PORT, value: '3000', scope: BUILD_TIME}]\n", ""),
            ("  envs: [{key: PORT, value: '8080'}]\nenvs: [{key: PORT, value: '3000'}]\n", ""),
            ("  envs: [{key: PORT, value: '${P}'}]\nenvs: [{key: P, value: '3000'}]\n", own),
            ("  envs: [{key: PORT, value: '${PORT}'}]\nenvs: [{key: PORT, value: '3000'}]\n", &format!("{own}\n")),
            (
                "  internal_ports: [0]\n",
                "error out_of_range services[0].internal_ports[0]: 0 is out of range | allowed: 1 to 65535",
            ),
        ]
        .map(|(more, wanted)| (more, wanted.trim_end())),
    );
}

#[test]
fn more_instances_than_the_platform_runs_are_told() {
    let sized = "  instance_size_slug: apps-s-1vcpu-1gb\n";
    says(&[
        (
            "  instance_count: 2\n",
            "warning doubtful services[0].instance_count: App Platform runs one instance only of the default size \
             `apps-s-1vcpu-0.5gb`; here all run | for example `instance_size_slug: apps-s-1vcpu-1gb`",
        ),
        ("jobs: [{name: jj, git: {repo_clone_url: /x}, instance_count: 2}]\n", ""),
        (&format!("{sized}  instance_count: 250\n"), ""),
        (
            &format!(
                "{sized}  instance_count: 250\nworkers: [{{name: ww, git: {{repo_clone_url: /x}}}}, {{name: vv, git: \
                 {{repo_clone_url: /x}}}}]\n"
            ),
            "warning doubtful workers[0].instance_count: with these, the app has more than the 250 instances of App \
             Platform's limit",
        ),
    ]);
}

#[test]
fn paths_of_checks_are_paths() {
    let placeholder = "`${H}` is a placeholder that nothing has replaced | replace it before the spec is applied";
    says(&[
        (
            "  health_check: {http_path: '${H}'}\n",
            &format!("warning unsubstituted services[0].health_check.http_path: {placeholder}"),
        ),
        (
            "  liveness_health_check: {http_path: '${H}'}\n",
            &format!("warning unsubstituted services[0].liveness_health_check.http_path: {placeholder}"),
        ),
        (
            "  health_check: {path: health}\n",
            "warning doubtful services[0].health_check.path: the path `health` does not begin with `/` | did you mean \
             `/health`?",
        ),
    ]);
}

#[test]
fn alerts_watch_what_has_what_they_watch() {
    let job = |kind: &str| format!("jobs: [{{name: jj, git: {{repo_clone_url: /x}}, kind: {kind}");
    let of_job = |kind: &str| format!("{}, alerts: [{{rule: JOB_INVOCATION_FAILED}}]}}]\n", job(kind));
    let worker = "workers: [{name: ww, git: {repo_clone_url: /x}, alerts: [{rule: REQUESTS_PER_SECOND}]}]\n";
    let function =
        "functions: [{name: ff, git: {repo_clone_url: /x}, routes: [{path: /f}], alerts: [{rule: CPU_UTILIZATION}]}]\n";
    let of = |path: &str, what: &str| format!("warning doubtful {path}[0].rule: {what}");
    let cases = [
        ("  alerts: [{rule: RESTART_COUNT}, {rule: REQUEST_DURATION_P95_MS}]\n".to_owned(), String::new()),
        (
            "  alerts: [{rule: FUNCTIONS_ERROR_COUNT}]\n".to_owned(),
            of("services[0].alerts", "FUNCTIONS_ERROR_COUNT watches functions, not a service"),
        ),
        (
            function.to_owned(),
            of("functions[0].alerts", "CPU_UTILIZATION watches services, workers and jobs, not a function"),
        ),
        (worker.to_owned(), of("workers[0].alerts", "REQUESTS_PER_SECOND watches services, not a worker")),
        (
            "alerts: [{rule: REQUESTS_PER_SECOND}, {rule: MEM_UTILIZATION}]\n".to_owned(),
            of("alerts", "REQUESTS_PER_SECOND watches services, not the whole app"),
        ),
        (
            of_job("PRE_DEPLOY"),
            of("jobs[0].alerts", "JOB_INVOCATION_FAILED watches jobs with a schedule, not a PRE_DEPLOY job"),
        ),
        (of_job("SCHEDULED, schedule: {cron: '0 1 * * *'}"), String::new()),
    ];
    says(&cases.each_ref().map(|(more, wanted)| (more.as_str(), wanted.as_str())));
}

#[test]
fn logs_go_to_an_address_with_a_login_or_to_a_cluster() {
    let open_search = |fields: &str| format!("  log_destinations: [{{name: logs, open_search: {{{fields}}}}}]\n");
    let path = "services[0].log_destinations[0].open_search";
    let cases = [
        ("endpoint: 'https://h:1', basic_auth: {user: u, password: p}", String::new()),
        ("cluster_name: c, basic_auth: {user: u}", String::new()),
        (
            "endpoint: 'h:1', basic_auth: {user: u, password: p}",
            format!("warning doubtful {path}.endpoint: an OpenSearch destination is reached by `https://HOST:PORT`"),
        ),
        (
            "endpoint: 'https://h:1', basic_auth: {user: u}",
            format!(
                "error missing {path}.basic_auth.password: an OpenSearch destination with an `endpoint` needs \
                 `basic_auth` with `password`"
            ),
        ),
        (
            "cluster_name: c, basic_auth: {user: u, password: p}",
            format!(
                "error conflict {path}.basic_auth.password: the password of a cluster is known: `cluster_name` and \
                 `password` exclude each other"
            ),
        ),
    ];
    let cases = cases.map(|(fields, wanted)| (open_search(fields), wanted));
    says(&cases.each_ref().map(|(more, wanted)| (more.as_str(), wanted.as_str())));
}

#[test]
fn rules_say_what_they_match_and_where_they_lead() {
    says(&[
        (
            "ingress: {rules: [{match: {path: {}}, component: {name: web}}]}\n",
            "warning doubtful ingress.rules[0].match.path: neither `prefix` nor `exact` is given, so every path matches | \
             give one of them",
        ),
        ("ingress: {rules: [{match: {path: {prefix: ''}}, component: {name: web}}]}\n", ""),
        (
            "ingress: {rules: [{redirect: {authority: 'x.com:443'}}]}\n",
            "error bad_format ingress.rules[0].redirect.authority: the host stands without a port | write `authority: \
             x.com` and `port: 443`",
        ),
        (
            "  cors: {allow_origins: [{regex: '('}]}\n",
            "error bad_format services[0].cors.allow_origins[0].regex: `(` is no regular expression: a bracket has no \
             partner",
        ),
    ]);
}
