//! Views for the fake controller.

use std::collections::BTreeMap;
use std::time::Duration;

use controller::view::{
    Actor, AlertView, AppView, BuildPlanView, BuiltWith, CertificateSource, CertificateState, CertificateView,
    CommitView, ComponentHealthView, Condition, DatabaseConnectionView, Delivery, DeliveryApp, DeploymentKind,
    DeploymentView, DiskSpace, HostEngine, HostImage, HostView, InstanceTransition, InstanceUsage, InstanceView,
    JobInvocationPhase, JobInvocationView, MetricsView, RegistryLoginView, RollbackCheck, RolloutView, SourceHeadView,
    SourceLocation, SourceLoginView, SourceProtocol, TokenApp, TokenScope, TokenView, TrafficSample, Transition,
    UsageSample, WebhookView,
};
use rollout::app_rollback::ConditionCode;
use rollout::deployment::Stage;
use rollout::ids::{AppId, DeploymentId};
use rollout::instance::InstancePhase;
use rollout::progress::{Progress, Shown};
use rollout::time::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

pub const ALERT: &str = "6d2f4c1e-0b7a-4a53-9f0e-3c1f5a9d7b22";
pub const INVOCATION: &str = "6d2f4c1e-0b7a-4a53-9f0e-3c1f5a9d7b23";
pub const APP: &str = "6d2f4c1e-0b7a-4a53-9f0e-3c1f5a9d7b21";

pub const OTHER_APP: &str = "6d2f4c1e-0b7a-4a53-9f0e-3c1f5a9d7b24";

/// The fingerprint of an ssh key.
pub const FINGERPRINT: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Logins for git servers.
pub fn source_logins() -> Vec<SourceLoginView> {
    let added = Timestamp(1_772_000_000_000);
    let https = SourceLoginView {
        host: "github.com".into(),
        protocol: SourceProtocol::Https,
        user: Some("x-access-token".into()),
        host_keys: Vec::new(),
        added,
    };
    let ssh = SourceLoginView {
        host: "git.example.com:2222".into(),
        protocol: SourceProtocol::Ssh,
        user: None,
        host_keys: vec![FINGERPRINT.into()],
        added,
    };
    vec![https, ssh]
}

/// Created tokens by hash: each token is its own name.
pub fn tokens() -> BTreeMap<String, TokenView> {
    let shop = || Some(TokenApp { id: APP.into(), name: "shop".into() });
    let blog = || Some(TokenApp { id: OTHER_APP.into(), name: "blog".into() });
    let (read, write) = (TokenScope::Read, TokenScope::Write);
    let expired = TokenView { remaining: Some(Duration::ZERO), ..token("expired", write, None) };
    let all = [
        token("reader", read, None),
        token("writer", write, None),
        token("shop-reader", read, shop()),
        token("shop-writer", write, shop()),
        token("blog-reader", read, blog()),
        token("blog-writer", write, blog()),
        token("obsolete", read, None),
        expired,
    ];
    all.into_iter().map(|it| (hex::encode(Sha256::digest(&it.name)), it)).collect()
}

/// A webhook with one delivery.
pub fn webhook(name: &str) -> WebhookView {
    let app = DeliveryApp {
        id: APP.into(),
        name: "shop".into(),
        commits: [("web".into(), "1a2b3c4".into())].into(),
        result: Some("deployment 2 was started".into()),
        deployment: Some(DeploymentId::new("d-2")),
    };
    let delivery = Delivery {
        webhook: name.into(),
        id: "delivery-1".into(),
        at: Timestamp(1_772_000_000_000),
        host: "GitHub".into(),
        event: "push".into(),
        repository: Some("acme/shop".into()),
        refs: vec!["main".into()],
        answer: "looking at shop (web)".into(),
        apps: vec![app],
    };
    WebhookView {
        name: name.into(),
        app: None,
        app_deleted: false,
        created: Timestamp(1_772_000_000_000),
        address: Some(format!("http://hooks.example.com:8080/{name}")),
        refused: 0,
        deliveries: vec![delivery],
    }
}

pub fn token(name: &str, scope: TokenScope, app: Option<TokenApp>) -> TokenView {
    TokenView {
        id: format!("id-of-{name}"),
        name: name.into(),
        scope,
        app,
        created: Timestamp(1_772_000_000_000),
        expires: Some(Timestamp(1_772_003_600_000)),
        remaining: Some(Duration::from_secs(3600)),
    }
}

pub fn deployment_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

pub fn deployment(number: u64, stage: Stage) -> DeploymentView {
    let shown = |name: &str, noun, waits| Shown { component: name.into(), noun, waits };
    let mut progress = Progress::new(&[shown("web", "service", true), shown("migrate", "job", false)]);
    if stage == Stage::Active {
        progress.succeed_all(Timestamp(2000));
    }
    DeploymentView {
        id: deployment_id(number).as_str().into(),
        app: APP.into(),
        number,
        stage,
        stage_since: Timestamp(2000),
        created: Timestamp(1000),
        updated: Timestamp(2000),
        kind: DeploymentKind::Restart,
        rolled_back: false,
        cause: "restart of all".into(),
        actor: Some(Actor { token: Some("token-1".into()), name: "ci".into() }),
        updates_spec: false,
        spec: json!({ "name": "shop", "services": [{ "name": "web" }], "jobs": [{ "name": "migrate" }] }),
        previous: None,
        cloned_from: None,
        superseded_by: None,
        images: Default::default(),
        progress,
        failure: None,
        log_tail: Vec::new(),
        rollout: RolloutView::default(),
        waiting: Vec::new(),
    }
}

pub fn app(deployments: &[DeploymentView]) -> AppView {
    let stage = |wanted: Stage| deployments.iter().find(|it| it.stage == wanted).cloned();
    AppView {
        id: APP.into(),
        name: "shop".into(),
        spec: json!({ "name": "shop", "services": [{ "name": "web" }] }),
        created: Timestamp(1000),
        updated: Timestamp(1000),
        deleting: false,
        active: stage(Stage::Active),
        in_progress: stage(Stage::Rolling),
        pending: stage(Stage::Pending),
        newest: deployments.iter().max_by_key(|it| it.number).cloned(),
        pinned: None,
        live_url: "http://shop.localhost:8080".into(),
        default_url: "http://shop.localhost:8080".into(),
        domains: Vec::new(),
        live_domain: "shop.localhost".into(),
        ready: 1,
        wanted: 2,
        waiting: vec!["waiting for web.1 to recover".into()],
    }
}

/// A check with a warning. The app has no other deployments than those that are known.
pub fn rollback_check(is_known: bool) -> RollbackCheck {
    let condition = |code, message: &str, components| Condition { code, message: message.into(), components };
    let gone = condition(ConditionCode::ExceededRevisionLimit, "not on record", Vec::new());
    let warning = condition(ConditionCode::ImageSourceMissingDigest, "no digest", vec!["web".into()]);
    RollbackCheck { error: (!is_known).then_some(gone), warnings: if is_known { vec![warning] } else { Vec::new() } }
}

pub fn alert() -> AlertView {
    AlertView {
        id: ALERT.into(),
        component: Some("web".into()),
        spec: json!({ "rule": "CPU_UTILIZATION", "operator": "GREATER_THAN", "value": 85, "window": "FIVE_MINUTES" }),
        emails: Vec::new(),
        slack_webhooks: Vec::new(),
    }
}

pub fn job_invocations() -> Vec<JobInvocationView> {
    let run = |id: &str, job: &str, number, phase, completed| JobInvocationView {
        id: id.into(),
        job: job.into(),
        deployment: deployment_id(number).as_str().into(),
        phase,
        created: Timestamp(1000),
        started: Some(Timestamp(1000)),
        completed,
    };
    vec![
        run(INVOCATION, "migrate", 2, JobInvocationPhase::Running, None),
        run("other", "migrate", 1, JobInvocationPhase::Succeeded, Some(Timestamp(2000))),
        run("third", "tidy", 1, JobInvocationPhase::Failed, Some(Timestamp(2000))),
    ]
}

pub fn health() -> Vec<ComponentHealthView> {
    let of = |component: &str, replicas_ready| ComponentHealthView {
        component: component.into(),
        cpu_percent: 12.5,
        memory_percent: 40.0,
        replicas_desired: 2,
        replicas_ready,
    };
    vec![of("web", 2), of("worker", 1)]
}

pub fn usage() -> Vec<InstanceUsage> {
    let sample = |number: u64| UsageSample {
        at: Timestamp(number * 15_000),
        cpu_percent: 12.5,
        memory_bytes: 128 << 20,
        memory_percent: 25.0,
    };
    vec![InstanceUsage {
        instance_name: "by-1-shop-web".into(),
        component_name: "web".into(),
        instance_alias: "web-0".into(),
        memory_limit_bytes: 512 << 20,
        samples: (1..=4).map(sample).collect(),
    }]
}

pub fn traffic() -> Vec<TrafficSample> {
    let over = Duration::from_secs(15);
    let sample =
        |number: u64| TrafficSample { at: Timestamp(number * 15_000), over, requests: 30, failed: 1, app_errors: 2 };
    (1..=4).map(sample).collect()
}

pub fn metrics() -> MetricsView {
    MetricsView {
        names: [(AppId::from(APP), "shop".to_owned())].into(),
        deployments: vec![(AppId::from(APP), "active", 2)],
        restarts: vec![(AppId::from(APP), "web".into(), 1)],
        ingress: None,
    }
}

pub fn host() -> HostView {
    let image = HostImage {
        reference: "boatyard-1/6d2f4c1e-web:1".into(),
        size_bytes: 64 << 20,
        created: Timestamp(1000),
        app: Some("shop".into()),
        component: Some("web".into()),
        serves: true,
    };
    let (version, api_version) = ("20.10.24".into(), "1.41".into());
    HostView {
        version: "0.1.0",
        installation_id: "installation".into(),
        engine: Ok(HostEngine {
            version,
            api_version,
            cpus: 4,
            memory_bytes: 8 << 30,
            reach: controller::Reach::Direct,
            missing_limits: Vec::new(),
        }),
        disk: Some(DiskSpace { free_bytes: 10 << 30, total_bytes: 40 << 30 }),
        images: Ok(vec![image]),
    }
}

pub fn database_connection() -> DatabaseConnectionView {
    DatabaseConnectionView {
        component: "db".into(),
        host: "db".into(),
        port: 5432,
        username: "shop".into(),
        password: "s3cret".into(),
        database: "shop".into(),
        url: "postgresql://shop:s3cret@db:5432/shop".into(),
    }
}

pub fn timeline() -> Vec<InstanceTransition> {
    let of = |generation, existed_before, transition, at| InstanceTransition {
        instance_name: format!("by-1-shop-web-{generation}").as_str().into(),
        component_name: "web".into(),
        component_type: "SERVICE",
        instance_alias: "web-0".into(),
        slot: 0,
        deployment_number: Some(generation),
        revision: "r1".into(),
        generation,
        existed_before,
        transition,
        at: Timestamp(at),
    };
    vec![
        of(1, true, Transition::Existed, 1_772_359_200_000),
        of(2, false, Transition::Routed, 1_772_359_201_000),
        of(1, true, Transition::Draining, 1_772_359_201_005),
    ]
}

pub fn instances() -> Vec<InstanceView> {
    let of = |component: &str, kind, phase| InstanceView {
        restarts: 0,
        last_end: None,
        processes: None,
        instance_name: format!("by-1-shop-{component}").as_str().into(),
        component_name: component.into(),
        component_type: kind,
        instance_alias: format!("{component}-0"),
        phase,
        container_id: Some(format!("c0ffee-{component}")),
        started_at: Some("2026-03-01T10:00:00Z".into()),
    };
    vec![of("web", "SERVICE", Some(InstancePhase::Ready)), of("db", "DATABASE", None)]
}

pub fn source_heads() -> Vec<SourceHeadView> {
    let newest = CommitView {
        id: "2".repeat(40),
        subject: "Say hello".into(),
        authored: Timestamp(1_767_225_600_000),
        uncommitted: false,
    };
    let address = "https://example.com/shop.git".to_owned();
    let location = SourceLocation::Repository { address, branch: Some("main".into()), newest: Ok(newest) };
    let with = BuiltWith::Generated {
        language: "static files".into(),
        slug: Some("html".into()),
        findings: vec!["static files (index.html)".into()],
        start: None,
        dockerfile: "# static files\n\nFROM nginx:1\n".into(),
    };
    let builds = vec![BuildPlanView { component: "web".into(), source_dir: String::new(), with }];
    vec![SourceHeadView {
        components: vec![("web".into(), Some("1".repeat(40)))],
        location,
        builds,
        problems: Vec::new(),
    }]
}

/// The certificate of a host name, from files of the operator.
pub fn certificate(name: &str) -> CertificateView {
    CertificateView {
        name: name.to_owned(),
        app: Some("shop".to_owned()),
        source: Some(CertificateSource::OwnFiles),
        names: vec![name.to_owned()],
        expires: Some(Timestamp(0)),
        state: CertificateState::Valid,
        next_attempt: None,
        reason: None,
    }
}

/// A login for a registry.
pub fn registry_login(host: &str, username: &str) -> RegistryLoginView {
    RegistryLoginView { host: host.to_owned(), username: username.to_owned(), added: Timestamp(0) }
}
