//! Adds, lists and removes webhooks, and receives what is delivered to them.

use rand::Rng;
use rollout::ids::ComponentName;
use store::records::{Change, Delivery, Webhook};

use super::Controller;
use super::audited::in_a_task;
use super::pushes::{CheckRequest, Trigger};
use crate::clock;
use crate::error::{ControlError, closest};
use crate::specs::Specs;
use crate::tokens::check_name;
use crate::view::{Caller, CreatedWebhook, NewWebhook, WebhookAnswer, WebhookRequest, WebhookView};
use crate::webhooks::{Concerned, Content, Report, Unusable, Verified, answer, refs};

/// How many deliveries of each webhook are listed. Our choice.
const LISTED: u32 = 10;
/// Shortest secret that a person may bring. Our choice: it must not be guessed by trying.
const MIN_SECRET: usize = 16;
const MAX_SECRET: usize = 256;

impl Controller {
    pub(super) async fn list_webhooks(&self) -> Result<Vec<WebhookView>, ControlError> {
        let mut views = Vec::new();
        for webhook in self.0.webhooks.all() {
            let deliveries = self.0.shared.store.deliveries(&webhook.name, LISTED).await?;
            views.push(WebhookView { deliveries, ..self.webhook_view(&webhook).await? });
        }
        Ok(views)
    }

    pub(super) async fn new_webhook(
        &self,
        wanted: NewWebhook,
        caller: &Caller,
    ) -> Result<CreatedWebhook, ControlError> {
        let (controller, caller) = (self.clone(), caller.clone());
        in_a_task("webhook", async move { controller.add_webhook(wanted, &caller).await }).await
    }

    pub(super) async fn remove_webhook(&self, name: &str, caller: &Caller) -> Result<WebhookView, ControlError> {
        let (controller, caller, name) = (self.clone(), caller.clone(), name.to_owned());
        in_a_task("webhook", async move { controller.forget_webhook(&name, &caller).await }).await
    }

    async fn add_webhook(&self, wanted: NewWebhook, caller: &Caller) -> Result<CreatedWebhook, ControlError> {
        self.in_charge()?;
        let NewWebhook { name, app, secret } = wanted;
        check_name("webhook", &name)?;
        if let Some(audit) = &caller.audit {
            audit.set_subject(&name);
        }
        if self.0.shared.config.webhooks.is_none() {
            return Err(ControlError::Conflict(
                "serve has no host name for webhooks, so no host could reach one. Start it with a name that leads to this \
                 host: boatyard serve --webhook-host hooks.example.com"
                    .into(),
            ));
        }
        let secret = match secret {
            Some(given) => checked_secret(given)?,
            None => hex::encode(rand::rng().random::<[u8; 32]>()),
        };
        let app = self.only_app(app.as_deref(), caller).await?;
        let webhooks = &self.0.webhooks;
        let _changing = webhooks.lock().await;
        if webhooks.all().iter().any(|it| it.name == name) {
            return Err(ControlError::Conflict(format!(
                "a webhook named {name} exists already. Choose another name, or remove it first: boatyard webhooks remove {name}"
            )));
        }
        let webhook = Webhook { name, secret, app, created: clock::now() };
        let created = CreatedWebhook { secret: webhook.secret.clone(), view: self.webhook_view(&webhook).await? };
        self.commit_audited(vec![Change::Webhook(webhook.clone())], caller).await?;
        webhooks.add(webhook);
        Ok(created)
    }

    async fn forget_webhook(&self, name: &str, caller: &Caller) -> Result<WebhookView, ControlError> {
        self.in_charge()?;
        let webhooks = &self.0.webhooks;
        let _changing = webhooks.lock().await;
        let all = webhooks.all();
        let Some(found) = all.iter().find(|it| it.name == name) else {
            let names: Vec<_> = all.iter().map(|it| it.name.clone()).collect();
            return Err(ControlError::NotFound(format!("no webhook {name:?}.{}", closest(name, &names))));
        };
        if let Some(audit) = &caller.audit {
            audit.set_subject(name);
        }
        let view = self.webhook_view(found).await?;
        self.commit_audited(vec![Change::ForgetWebhook(name.to_owned())], caller).await?;
        webhooks.remove(name);
        Ok(view)
    }

    async fn webhook_view(&self, webhook: &Webhook) -> Result<WebhookView, ControlError> {
        let app_deleted = match &webhook.app {
            Some(only) => self.0.shared.store.app_state(&only.id).await?.is_none_or(|it| it.app.deleting),
            None => false,
        };
        let settings = self.0.shared.config.webhooks.as_ref();
        let port = self.0.shared.config.http.port();
        let port = if port == 80 { String::new() } else { format!(":{port}") };
        Ok(WebhookView {
            name: webhook.name.clone(),
            app: webhook.app.clone(),
            app_deleted,
            created: webhook.created,
            address: settings.map(|it| format!("http://{}{port}/{}", it.host, webhook.name)),
            refused: self.0.webhooks.refused(&webhook.name),
            deliveries: Vec::new(),
        })
    }

    /// Records a delivery and answers it. The apps are checked later.
    pub(super) async fn receive(&self, request: WebhookRequest) -> Result<WebhookAnswer, ControlError> {
        self.in_charge()?;
        let Verified { webhook, report } = match self.0.webhooks.verify(&request.name, &request.headers, &request.body)
        {
            Ok(verified) => verified,
            Err(Unusable::Refused) => return Ok(WebhookAnswer::Refused),
            Err(Unusable::Unreadable(why)) => return Ok(WebhookAnswer::Unreadable(why)),
        };
        let Report { host, event, id, content } = report;
        let (apps, answer, repository, refs) = match content {
            Content::Ping => (Vec::new(), "Boatyard receives what this webhook delivers".to_owned(), None, Vec::new()),
            Content::Other => (Vec::new(), format!("ignored: {event:?} is no push"), None, Vec::new()),
            Content::Push { repository, push } => {
                let concerned = self.concerned(&webhook, |source| push.relevance(source)).await?;
                let (apps, text) = answer(&repository, &push, &concerned);
                (apps, text, Some(repository), refs(&push))
            }
        };
        let (webhook, at) = (webhook.name, clock::now());
        let looks = !apps.is_empty();
        let delivery = Delivery { webhook, id, at, host: host.to_owned(), event, repository, refs, answer, apps };
        if !self.0.shared.store.add_delivery(delivery.clone()).await? {
            return Ok(WebhookAnswer::Done(format!("already received: {}", delivery.id)));
        }
        tracing::info!(
            webhook = delivery.webhook,
            host,
            delivery = delivery.id,
            answer = delivery.answer,
            "delivery received"
        );
        let text = delivery.answer.clone();
        self.check_apps_of(delivery);
        Ok(if looks { WebhookAnswer::Accepted(text) } else { WebhookAnswer::Done(text) })
    }

    /// Requests checks of the apps of a delivery of which no result is known.
    pub(super) fn check_apps_of(&self, delivery: Delivery) {
        for app in delivery.apps.iter().filter(|it| it.result.is_none()) {
            let trigger = Trigger::Push {
                webhook: delivery.webhook.clone(),
                delivery: delivery.id.clone(),
                pushed: format!(
                    "{}@{}",
                    delivery.repository.as_deref().unwrap_or_default(),
                    delivery.refs.first().map_or("", String::as_str)
                ),
                commits: app.commits.clone(),
            };
            self.request_check(&app.id, CheckRequest { trigger, reply: None });
        }
    }

    /// What a push has to do with the components of the apps that a webhook may deploy.
    async fn concerned(
        &self,
        webhook: &Webhook,
        relevance: impl Fn(&app_spec::Source) -> rollout::push::Relevance,
    ) -> Result<Vec<Concerned>, ControlError> {
        let apps = self.0.shared.store.apps().await?.into_iter().filter(|it| !it.deleting);
        let mut apps: Vec<_> = apps.filter(|it| webhook.app.as_ref().is_none_or(|only| only.id == it.id)).collect();
        apps.sort_by(|a, b| a.name.cmp(&b.name));
        let mut concerned = Vec::new();
        for app in apps {
            // An app that this version cannot read is reported elsewhere, and does not affect the others.
            let Some(spec) = Specs::of(&app.id, &self.0.shared.sealer).open(&app.spec) else { continue };
            concerned.extend(spec.components().map(|it| Concerned {
                app: app.id.clone(),
                name: app.name.clone(),
                component: ComponentName::from(it.name()),
                relevance: relevance(it.source()),
            }));
        }
        Ok(concerned)
    }
}

/// Errors: too short or too long, or characters that a form of a host might change.
fn checked_secret(given: String) -> Result<String, ControlError> {
    let is_plain = given.bytes().all(|it| it.is_ascii_graphic());
    if !is_plain || !(MIN_SECRET..=MAX_SECRET).contains(&given.len()) {
        return Err(ControlError::Invalid(format!(
            "the secret of a webhook must have {MIN_SECRET} to {MAX_SECRET} printable ASCII characters without blanks"
        )));
    }
    Ok(given)
}
