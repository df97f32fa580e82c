//! What the page shows of which log.

use app_spec::AppSpec;
use controller::view::{AppView, DeploymentView, LogKind, LogRequest, PageQuery};
use maud::{Markup, html};
use web::{Access, HttpError};

use super::FIRST_LINES;
use crate::request::Fields;
use crate::ui::button;
use crate::ui::form::{Field, Input};

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
        // The page shows the name again, and with it whatever was sent.
        let component = query.get("component").map(|it| it.replace(app_spec::is_deceptive, "\u{fffd}"));
        Ok(Self { component, app, kind, tail, deployment })
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
    pub async fn form(&self, access: &Access) -> Result<Markup, HttpError> {
        let components = self.components();
        let components: Vec<_> = components.iter().map(|it| (it.as_str(), label_of(it))).collect();
        let kinds = KINDS.map(|(_, name, label)| (name, label));
        let deployments = self.deployments(access).await?;
        let deployments: Vec<_> = deployments.iter().map(|(number, label)| (number.as_str(), label.as_str())).collect();
        let select = |name, label, value, choices| {
            Field { name, label, value, input: Input::Choice(choices), ..Field::default() }.markup()
        };
        Ok(html! {
            form class="log-choice" id="log-choice" method="get" action={ "/apps/" (self.app.name) "/logs" } {
                (select("component", "Component", self.component.as_deref().unwrap_or_default(), &components))
                (select("type", "Log", name_of(self.kind), &kinds))
                (select("deployment", "Deployment", &self.number(), &deployments))
                div class="without-script" { (button::submit(button::Look::Plain, "Show")) }
            }
        })
    }

    /// The empty name stands for all components. A chosen component stays, even if the app has none of that name.
    fn components(&self) -> Vec<String> {
        let spec = self.deployment.as_ref().map_or(&self.app.spec, |it| &it.spec);
        let spec = AppSpec::from_stored(spec).unwrap_or_default();
        let mut names: Vec<_> =
            [String::new()].into_iter().chain(spec.components().map(|it| it.name().to_owned())).collect();
        names.extend(self.component.clone().filter(|it| !names.contains(it)));
        names
    }

    /// The newest deployments and the chosen one, as numbers with labels.
    async fn deployments(&self, access: &Access) -> Result<Vec<(String, String)>, HttpError> {
        let none = match self.kind {
            LogKind::Run | LogKind::RunRestarted => "All that run now",
            LogKind::Build | LogKind::Deploy => "The active one",
        };
        let newest = PageQuery { page: 1, per_page: OFFERED_DEPLOYMENTS };
        let mut offered = access.control.deployments(&self.app.id, newest).await?.items;
        offered.extend(self.deployment.clone().filter(|it| offered.iter().all(|listed| listed.id != it.id)));
        let option = |it: &DeploymentView| {
            let phase = it.stage.phase().as_str().to_lowercase().replace('_', " ");
            (it.number.to_string(), format!("{}: {}, {phase}", it.number, it.cause))
        };
        Ok([(String::new(), none.to_owned())].into_iter().chain(offered.iter().map(option)).collect())
    }
}

fn label_of(component: &str) -> &str {
    if component.is_empty() { "All components" } else { component }
}

fn name_of(kind: LogKind) -> &'static str {
    KINDS.iter().find(|(it, ..)| *it == kind).map_or("run", |(_, name, _)| name)
}
