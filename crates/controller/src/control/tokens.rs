//! Creates, lists and revokes tokens.

use store::records::{Change, Token};
use uuid::Uuid;

use super::Controller;
use super::audited::in_a_task;
use crate::clock;
use crate::error::{ControlError, closest};
use crate::start::hash_token;
use crate::tokens::{check_name, random_token, view};
use crate::view::{Caller, CreatedToken, NewToken, TokenView};

/// The beginning of created tokens. The rest is 64 hexadecimal digits.
const PREFIX: &str = "dob_v1_";

impl Controller {
    pub(super) async fn new_token(&self, wanted: NewToken, caller: &Caller) -> Result<CreatedToken, ControlError> {
        let (controller, caller) = (self.clone(), caller.clone());
        in_a_task("token", async move { controller.add_token(wanted, &caller).await }).await
    }

    pub(super) async fn revoke(&self, id_or_name: &str, caller: &Caller) -> Result<TokenView, ControlError> {
        let (controller, caller, id_or_name) = (self.clone(), caller.clone(), id_or_name.to_owned());
        in_a_task("token", async move { controller.remove_token(&id_or_name, &caller).await }).await
    }

    async fn add_token(&self, wanted: NewToken, caller: &Caller) -> Result<CreatedToken, ControlError> {
        self.in_charge()?;
        let NewToken { name, scope, app, expires } = wanted;
        check_name("token", &name)?;
        if let Some(audit) = &caller.audit {
            audit.set_subject(&name);
        }
        let created = clock::now();
        let expires = expires.at(created)?;
        let app = self.only_app(app.as_deref(), caller).await?;
        let tokens = &self.0.tokens;
        let _changing = tokens.lock().await;
        if tokens.all().iter().any(|it| it.name == name) {
            return Err(ControlError::Conflict(format!(
                "a token named {name} exists already. Choose another name, or revoke it first: boatyard tokens revoke {name}"
            )));
        }
        let secret = random_token(PREFIX);
        let token =
            Token { id: Uuid::new_v4().to_string(), name, hash: hash_token(&secret), scope, app, created, expires };
        self.commit_audited(vec![Change::Token(token.clone())], caller).await?;
        let created = CreatedToken { token: secret, view: view(&token) };
        tokens.add(token);
        Ok(created)
    }

    async fn remove_token(&self, id_or_name: &str, caller: &Caller) -> Result<TokenView, ControlError> {
        self.in_charge()?;
        let tokens = &self.0.tokens;
        let _changing = tokens.lock().await;
        let all = tokens.all();
        let found = all.iter().find(|it| it.id == id_or_name).or_else(|| all.iter().find(|it| it.name == id_or_name));
        let Some(found) = found.cloned() else {
            let names: Vec<_> = all.into_iter().map(|it| it.name).collect();
            return Err(ControlError::NotFound(format!("no token {id_or_name:?}.{}", closest(id_or_name, &names))));
        };
        if let Some(audit) = &caller.audit {
            audit.set_subject(&found.name);
        }
        self.commit_audited(vec![Change::ForgetToken(found.id.clone())], caller).await?;
        tokens.remove(&found.id);
        Ok(found)
    }
}
