//! Alerts: each rule watches the app, or components of some kind. The table is that of the reference (1.6).

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{Alert, AlertRule, AppSpec, Component, ComponentKind, JobKind};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    alerts("alerts", &spec.alerts, Place::App, found);
    for (path, component) in spec.components_with_paths() {
        alerts(&format!("{path}.alerts"), of(component), Place::Component(component), found);
    }
}

/// Where a rule stands.
#[derive(Clone, Copy)]
enum Place<'a> {
    App,
    Component(Component<'a>),
}

fn alerts(path: &str, alerts: &[Alert], place: Place<'_>, found: &mut Vec<Diagnostic>) {
    for (i, alert) in alerts.iter().enumerate() {
        let Some(rule) = alert.rule else { continue };
        let watched = Watched::by(rule);
        if watched.is_at(place) {
            continue;
        }
        let message = format!("{rule} watches {}, not {}", watched.as_str(), place.as_text());
        let doubtful = Diagnostic::warning(Code::Doubtful, format!("{path}[{i}].rule"), message);
        found.push(match watched {
            Watched::App => doubtful.help("give it under `alerts` of the app"),
            _ => doubtful,
        });
    }
}

fn of(component: Component<'_>) -> &[Alert] {
    match component {
        Component::Service(service) => &service.common.alerts,
        Component::Worker(worker) => &worker.common.alerts,
        Component::Job(job) => &job.common.alerts,
        Component::Function(function) => &function.alerts,
        Component::StaticSite(_) => &[],
    }
}

/// What a rule watches.
#[derive(Clone, Copy)]
enum Watched {
    Anything,
    App,
    /// The containers of a component, or of all.
    Containers,
    Services,
    ScheduledJobs,
    Functions,
}

impl Watched {
    fn by(rule: AlertRule) -> Watched {
        use AlertRule::*;
        match rule {
            Unspecified => Watched::Anything,
            DeploymentFailed | DeploymentLive | DeploymentStarted | DeploymentCanceled => Watched::App,
            DomainFailed | DomainLive | AutoscaleFailed | AutoscaleSucceeded => Watched::App,
            CpuUtilization | MemUtilization | RestartCount => Watched::Containers,
            RequestsPerSecond | RequestDurationP95 => Watched::Services,
            JobInvocationFailed => Watched::ScheduledJobs,
            FunctionsActivationCount | FunctionsAverageDuration | FunctionsErrorRate => Watched::Functions,
            FunctionsAverageWaitTime | FunctionsErrorCount | FunctionsGbRate => Watched::Functions,
        }
    }

    /// CPU, memory and restarts are taken at the app as well: people write them there.
    fn is_at(self, place: Place<'_>) -> bool {
        let kind = match place {
            Place::App => return matches!(self, Watched::Anything | Watched::App | Watched::Containers),
            Place::Component(component) => component.kind(),
        };
        match self {
            Watched::Anything => true,
            Watched::App => false,
            Watched::Containers => kind != ComponentKind::Function,
            Watched::Services => kind == ComponentKind::Service,
            Watched::ScheduledJobs => {
                matches!(place, Place::Component(Component::Job(job)) if job.kind() == JobKind::Scheduled)
            }
            Watched::Functions => kind == ComponentKind::Function,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Watched::Anything => "anything",
            Watched::App => "the whole app",
            Watched::Containers => "services, workers and jobs",
            Watched::Services => "services",
            Watched::ScheduledJobs => "jobs with a schedule",
            Watched::Functions => "functions",
        }
    }
}

impl Place<'_> {
    fn as_text(self) -> String {
        match self {
            Place::App => "the whole app".to_owned(),
            Place::Component(Component::Job(job)) => format!("a {} job", job.kind()),
            Place::Component(component) => format!("a {}", component.kind().as_str()),
        }
    }
}
