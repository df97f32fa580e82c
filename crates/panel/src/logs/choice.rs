//! What the page shows of which log.

use app_spec::AppSpec;
use controller::view::{AppView, DeploymentView, LogKind, LogRequest, PageQuery};
use maud::{Markup, html};
use web::{Access, HttpError};

use super::FIRST_LINES;
use crate::request::Fields;
use crate::ui::button;

/// How many of the newest deployments the page offers. An older one is opened by its number in the address.
const OFFERED_DEPLOYMENTS: u64 = 50;
/// As many lines as the script keeps (`MOST_LINES`).
const MAX_TAIL: usize = 5000;
const KINDS: [(LogKind, &str, &str); 4] = [
    (LogKind::Run, "run", "Running instances and jobs"),
    (LogKind::Build, "build", "Build"),
    (LogKind::Deploy, "deploy", "Jobs and failed instances of a deployment"),
    (LogKind::RunRestarted, "run_restarted", "Before the last restart"),
];

/// The chosen log of an app.
pub(super) struct Choice {
    pub app: AppView,
    component: Option<String>,
    kind: LogKind,
    /// How many of the last lines each instance sends.
    pub tail: usize,
    deployment: Option<DeploymentView>,
    newest_deployments: Vec<DeploymentView>,
}

impl Choice {
    /// Reads the query of the page and of its streams. Errors: the app or the deployment does not exist, or there are no logs of
    /// that kind. Whether the component exists is known when the log is read.
    pub async fn find(access: &Access, app: &str, query: &Fields) -> Result<Self, HttpError> {
        let kind = query.get("type").unwrap_or("run");
        let found = KINDS.into_iter().find(|(_, name, _)| kind.eq_ignore_ascii_case(name));
        let names = "run, build, deploy or run_restarted";
        let unknown = || HttpError::bad_request(format!("the type of a log is {names}, not {kind:?}"));
        let (kind, ..) = found.ok_or_else(unknown)?;
        let tail = query.get("tail").and_then(|it| it.parse().ok()).unwrap_or(FIRST_LINES).min(MAX_TAIL);
        let app = access.app(app).await?;
        let deployment = match query.get("deployment") {
            Some(id_or_number) => Some(access.deployment(&app.id, id_or_number).await?),
            None => None,
        };
        let newest = PageQuery { page: 1, per_page: OFFERED_DEPLOYMENTS };
        let newest_deployments = access.control.deployments(&app.id, newest).await?.items;
        let component = query.get("component").map(str::to_owned);
        Ok(Self { component, app, kind, tail, deployment, newest_deployments })
    }

    pub fn request(&self, follow: bool, tail: Option<usize>) -> LogRequest {
        let deployment = self.deployment.as_ref().map(|it| it.id.clone());
        let (app, component, kind) = (self.app.id.clone(), self.component.clone(), self.kind);
        LogRequest { app, deployment, component, kind, follow, tail }
    }

    /// Address of the chosen log: the page's with `""`, and those of its streams.
    pub fn address(&self, below: &str) -> String {
        let component = self.component.as_deref().unwrap_or_default();
        let component = percent_encoding::utf8_percent_encode(component, percent_encoding::NON_ALPHANUMERIC);
        format!(
            "/apps/{}/logs{below}?component={component}&type={}&deployment={}",
            self.app.name,
            name_of(self.kind),
            self.number()
        )
    }

    /// `shop-web-run.log`, `shop-build-42.log`.
    pub fn file_name(&self) -> String {
        let is_plain = |it: &&String| it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let component = self.component.as_ref().filter(is_plain).map(|it| format!("-{it}")).unwrap_or_default();
        let number = if self.number().is_empty() { String::new() } else { format!("-{}", self.number()) };
        format!("{}{component}-{}{number}.log", self.app.name, name_of(self.kind))
    }

    fn number(&self) -> String {
        self.deployment.as_ref().map(|it| it.number.to_string()).unwrap_or_default()
    }

    /// The form with all choices. The script sends it when one of them changes.
    pub fn form(&self) -> Markup {
        let spec = self.deployment.as_ref().map_or(&self.app.spec, |it| &it.spec);
        let spec = AppSpec::from_stored(spec).unwrap_or_default();
        let names: Vec<String> = spec.components().map(|it| it.name().to_owned()).collect();
        let component = self.component.clone().unwrap_or_default();
        let unlisted = Some(&component).filter(|it| !it.is_empty() && !names.contains(it));
        let components = names.iter().chain(unlisted).map(|it| (it.clone(), it.clone()));
        let kinds = KINDS.iter().map(|(_, name, label)| ((*name).to_owned(), (*label).to_owned()));
        html! {
            form class="log-choice" id="log-choice" method="get" action={ "/apps/" (self.app.name) "/logs" } {
                (select("component", "Component", [(String::new(), "All components".to_owned())].into_iter().chain(components), &component))
                (select("type", "Log", kinds, name_of(self.kind)))
                (select("deployment", "Deployment", self.deployments(), &self.number()))
                div class="without-script" { (button::submit(button::Look::Plain, "Show")) }
            }
        }
    }

    fn deployments(&self) -> impl Iterator<Item = (String, String)> {
        let current = match self.kind {
            LogKind::Run | LogKind::RunRestarted => "All that run now",
            LogKind::Build | LogKind::Deploy => "The active one",
        };
        let is_listed = |it: &&DeploymentView| !self.newest_deployments.iter().any(|listed| listed.id == it.id);
        let all = self.newest_deployments.iter().chain(self.deployment.as_ref().filter(is_listed));
        let option = |it: &DeploymentView| {
            let number = it.number.to_string();
            let label =
                format!("{number}: {}, {}", it.cause, it.stage.phase().as_str().to_lowercase().replace('_', " "));
            (number, label)
        };
        [(String::new(), current.to_owned())].into_iter().chain(all.map(option))
    }
}

fn name_of(kind: LogKind) -> &'static str {
    KINDS.iter().find(|(it, ..)| *it == kind).map_or("run", |(_, name, _)| name)
}

fn select(name: &str, label: &str, options: impl Iterator<Item = (String, String)>, chosen: &str) -> Markup {
    html! {
        div class="field" {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @for (value, label) in options { option value=(value) selected[value == chosen] { (label) } }
            }
        }
    }
}
