//! A written spec is read back equal, for all specs. No text causes a panic.
#![allow(clippy::unwrap_used)]

use app_spec::{
    AppSpec, Common, Database, EnvKind, EnvScope, EnvValue, EnvVar, GitSource, HealthCheck, ImageSource, Ingress,
    IngressComponent, IngressRule, Job, JobKind, Match, RegistryType, RouteMatch, SecretText, Service,
    ServiceTermination, Source, Worker,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn open(_: &str, secret: &SecretText) -> String {
    secret.expose().to_owned()
}

/// Text that a writer may fail to quote, or that a reader may read as another type.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        // No program argument, path or request can contain a NUL, so a spec cannot either.
        any::<String>().prop_map(|text| text.replace('\0', "")),
        "[ -~]{0,20}",
        "[a-z:#\\-'\" \n\t|>&*!%@`{}\\[\\],?]{0,12}",
        "(on|off|yes|no|y|n|null|~|true|0|012|0x1f|1e3|1_000|1:30|\\.inf|2024-01-31|=|<<|---|\\.\\.\\.)",
        "(a|b|  x|\n|\n\n| |#|\t|é){0,8}",
    ]
}

fn some_text() -> impl Strategy<Value = String> {
    text().prop_filter("absent and empty are the same", |t| !t.is_empty())
}

fn env() -> impl Strategy<Value = EnvVar> {
    let scope = of(prop_oneof![Just(EnvScope::RunTime), Just(EnvScope::BuildTime), Just(EnvScope::RunAndBuildTime)]);
    let value = prop_oneof![
        (text().prop_map(EnvValue::Plain), of(Just(EnvKind::General))),
        (
            some_text()
                .prop_filter("sealed", |t| !t.starts_with("EV["))
                .prop_map(|t| EnvValue::Secret(SecretText::new(t))),
            Just(Some(EnvKind::Secret))
        ),
        (Just(EnvValue::Missing), Just(Some(EnvKind::Secret))),
        (Just(EnvValue::Sealed("EV[1:a:b]".to_owned())), Just(Some(EnvKind::Secret))),
    ];
    ("[A-Z_]{1,8}", value, scope).prop_map(|(key, (value, kind), scope)| EnvVar { key, value, scope, kind })
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        ("(https://[a-z]{1,9}/[a-z]{1,9}|/[a-z:/.]{1,20})", of("[a-z/]{1,9}"), proptest::bool::ANY).prop_map(
            |(repo_clone_url, branch, deploy_on_push)| Source::Git(GitSource {
                repo_clone_url,
                branch,
                deploy_on_push
            })
        ),
        ("[a-z]{1,9}", "[a-z0-9]{1,9}", of("[0-9][0-9.]{0,5}")).prop_map(|(registry, repository, tag)| {
            let registry_type = Some(RegistryType::DockerHub);
            Source::Image(ImageSource {
                registry_type,
                registry: Some(registry),
                repository,
                tag,
                ..Default::default()
            })
        }),
    ]
}

fn common(name: String) -> impl Strategy<Value = Common> {
    (source(), vec(env(), 0..4), of(some_text()), of(1..=250_u32), of("[a-z/.]{1,9}")).prop_map(
        move |(source, envs, run_command, instance_count, source_dir)| Common {
            source,
            name: name.clone(),
            envs,
            run_command,
            instance_count,
            source_dir: source_dir.filter(|d| !d.contains("..")),
            ..Default::default()
        },
    )
}

fn service(name: String) -> impl Strategy<Value = Service> {
    let check =
        of((of("/[!-~é]{0,20}"), of(1..=65535_u16), of(1..=300_u32)).prop_map(|(http_path, port, period_seconds)| {
            HealthCheck { http_path, port, period_seconds, ..Default::default() }
        }));
    let termination =
        of(of(1..=110_u32).prop_map(|drain_seconds| ServiceTermination { drain_seconds, ..Default::default() }));
    (common(name), of(1..=65535_u16), vec(1..=65535_u16, 0..3), check, termination).prop_map(
        |(common, http_port, internal_ports, health_check, termination)| Service {
            common,
            http_port,
            internal_ports,
            health_check,
            termination,
            ..Default::default()
        },
    )
}

fn ingress() -> impl Strategy<Value = Option<Ingress>> {
    let rule = |i: usize, preserve_path_prefix: bool| IngressRule {
        on: Some(RouteMatch {
            path: Some(Match { prefix: Some(if i == 0 { String::new() } else { format!("/p{i}") }), exact: None }),
            authority: None,
        }),
        component: Some(IngressComponent { name: "web".to_owned(), preserve_path_prefix, rewrite: None }),
        ..Default::default()
    };
    of(vec(any::<bool>(), 0..4).prop_map(move |flags| Ingress {
        rules: flags.into_iter().enumerate().map(|(i, flag)| rule(i, flag)).collect(),
        ..Default::default()
    }))
}

fn spec() -> impl Strategy<Value = AppSpec> {
    let worker = common("work".to_owned()).prop_map(|common| Worker { common, ..Default::default() });
    let job = (common("tidy".to_owned()), of(Just(JobKind::PreDeploy))).prop_map(|(common, kind)| Job {
        common,
        kind,
        ..Default::default()
    });
    let database = (of("[0-9a-z_][0-9a-z._-]{0,5}"), any::<bool>()).prop_map(|(version, production)| Database {
        name: "db".to_owned(),
        version,
        production,
        ..Default::default()
    });
    let parts =
        (service("web".to_owned()), of(worker), of(job), of(database), vec(env(), 0..3), ingress(), of(some_text()));
    parts.prop_map(|(service, worker, job, database, envs, ingress, region)| AppSpec {
        name: "shop".to_owned(),
        region,
        envs,
        services: vec![service],
        workers: worker.into_iter().collect(),
        jobs: job.into_iter().collect(),
        databases: database.into_iter().collect(),
        ingress,
        ..Default::default()
    })
}

/// A sample in which one piece is removed or replaced.
fn broken_sample() -> impl Strategy<Value = String> {
    let sample = include_str!("../../../app-spec-samples/07-routing.yaml");
    let characters: Vec<char> = sample.chars().collect();
    let length = characters.len();
    (0..length, 0..40_usize, "[a-z:\\-{}\\[\\]#&*!|>'\"%@,? \n\t]{0,6}").prop_map(move |(at, cut, instead)| {
        let after = characters.iter().skip(at + cut);
        characters.iter().take(at).copied().chain(instead.chars()).chain(after.copied()).collect()
    })
}

proptest! {
    // Does not persist failures: each failure becomes a case in the other tests.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_written_spec_is_read_back_equal(spec in spec()) {
        let yaml = spec.to_yaml(&open);
        let json = spec.to_json_value(&open);
        let from_yaml = AppSpec::from_yaml(&yaml).map_err(|e| TestCaseError::fail(format!("{}\n{yaml}", e)))?;
        prop_assert_eq!(&from_yaml.spec, &spec, "{}", yaml);
        let from_json = AppSpec::from_json(&json).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(&from_json.spec, &spec);
        let stored = AppSpec::from_stored(&json);
        prop_assert_eq!(stored.as_ref(), Ok(&spec));
        let second_opinion: serde_json::Value =
            serde_yaml::from_str(&yaml).map_err(|e| TestCaseError::fail(format!("{e}\n{yaml}")))?;
        prop_assert_eq!(second_opinion, json, "{}", yaml);
    }

    #[test]
    fn completing_keeps_a_spec_valid(spec in spec()) {
        let completed = spec.completed();
        prop_assert_eq!(completed.completed(), completed.clone());
        prop_assert!(!completed.check().has_errors(), "{}", completed.check());
        prop_assert_eq!(app_spec::routes(&completed), app_spec::routes(&spec));
    }

    #[test]
    fn no_text_makes_the_reader_or_the_renderer_panic(text in prop_oneof![any::<String>(), text(), broken_sample()]) {
        match AppSpec::from_yaml(&text) {
            Ok(parsed) => drop((parsed.warnings.render("x", &text), parsed.not_yet().render("x", &text))),
            Err(problems) => {
                prop_assert!(problems.has_errors());
                problems.render("x", &text);
            }
        }
    }

    #[test]
    fn a_place_lies_inside_its_text(text in broken_sample()) {
        let problems = AppSpec::from_yaml(&text).err().unwrap_or_default();
        for place in problems.iter().filter_map(|p| p.place) {
            prop_assert!(place.start <= place.end && place.end <= text.len(), "{:?}", place);
            let line = text[..place.start].matches('\n').count() + 1;
            prop_assert_eq!(line, place.line as usize);
        }
    }
}
