//! What a route needs, and which tokens have it. The decision is pure.

use controller::view::{Actor, TokenApp, TokenScope, TokenView};

/// The token of a request.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The admin token may do everything.
    Admin,
    /// A token that the holder of the admin token created.
    Token(TokenView),
}

impl Identity {
    /// Who did something, for records.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Admin => Actor { token: None, name: "admin".into() },
            Self::Token(token) => Actor { token: Some(token.id.clone()), name: token.name.clone() },
        }
    }

    /// The created token.
    pub fn token(&self) -> Option<&TokenView> {
        match self {
            Self::Admin => None,
            Self::Token(token) => Some(token),
        }
    }

    /// Whether the token has scope `write`.
    pub fn may_write(&self) -> bool {
        self.token().is_none_or(|it| it.scope == TokenScope::Write)
    }

    /// The only app that the token may use; `None`: all apps.
    pub fn only_app(&self) -> Option<&TokenApp> {
        self.token()?.app.as_ref()
    }
}

/// What a request needs. Every row of the route table declares it, and [`super::gate`] checks it before the handler.
///
/// A token for one app uses the paths that name its app. On any other path it needs [`Needs::Nothing`],
/// [`Needs::Own`] or [`Needs::ReadLimited`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Any valid token. The answer contains nothing about apps.
    Nothing,
    /// Any valid token: changes nothing but sessions of the panel that belong to the token. The audit trail records the
    /// request under this word.
    Own(&'static str),
    /// Scope `read`: looks at apps and changes nothing.
    Read,
    /// The same, and the handler leaves out the apps that the token may not use: it reaches apps only through
    /// [`super::Access`].
    ReadLimited,
    /// Scope `write`: changes apps. The audit trail records the request under this word.
    Write(&'static str),
    /// Scope `write`: opens a console in an instance.
    Console,
    /// Scope `write`: shows the password of a database.
    Password,
    /// The admin token: looks at the installation.
    AdminRead,
    /// The admin token: changes the installation. The audit trail records the request under this word.
    AdminWrite(&'static str),
}

impl Needs {
    /// The word under which the audit trail records the request. `None`: it does not.
    pub fn action(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Read | Self::ReadLimited | Self::AdminRead => None,
            Self::Own(action) | Self::Write(action) | Self::AdminWrite(action) => Some(action),
            Self::Console => Some("open console"),
            Self::Password => Some("view database password"),
        }
    }

    /// Whether a token with this identity may make the request. `names_app`: the path names an app, which still has to be
    /// compared with that of the token. Errors: for people, what the token lacks and how to create one that has it.
    pub fn check(self, identity: &Identity, names_app: bool) -> Result<(), String> {
        let Identity::Token(token) = identity else { return Ok(()) };
        let name = &token.name;
        match self {
            Self::Nothing | Self::Own(_) | Self::ReadLimited => Ok(()),
            Self::AdminRead | Self::AdminWrite(_) => Err(format!(
                "token {name:?} may not do this: only the admin token may. It is in the file admin-token in the data \
                 directory of `boatyard serve`"
            )),
            Self::Write(_) | Self::Console | Self::Password if !identity.may_write() => {
                let app = token.app.as_ref().map(|app| format!(" --app {}", app.name)).unwrap_or_default();
                Err(format!(
                    "token {name:?} has scope read, and {} needs scope write. To create a token that has it, with the admin \
                     token: boatyard tokens create NAME --scope write{app}",
                    self.noun()
                ))
            }
            Self::Read | Self::Write(_) | Self::Console | Self::Password => match &token.app {
                Some(app) if !names_app => Err(format!(
                    "token {name:?} may only use app {}, and this request is not about that app alone. To create a token \
                     for all apps, with the admin token: boatyard tokens create NAME --scope {}",
                    app.name,
                    if self == Self::Read { "read" } else { "write" }
                )),
                _ => Ok(()),
            },
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Console => "a console",
            Self::Password => "the password of a database",
            _ => "a change",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollout::time::Timestamp;

    fn token(scope: TokenScope, app: Option<&str>) -> Identity {
        let app = app.map(|name| TokenApp { id: "id-of-shop".into(), name: name.into() });
        let (id, name) = ("id".to_owned(), "ci".to_owned());
        Identity::Token(TokenView { id, name, scope, app, created: Timestamp(0), expires: None, remaining: None })
    }

    #[test]
    fn a_refusal_names_the_token_and_what_it_lacks_and_the_command_that_helps() {
        let reader = token(TokenScope::Read, Some("shop"));
        let writer = token(TokenScope::Write, Some("shop"));
        for (needs, identity, words) in [
            (Needs::Write("restart"), &reader, ["\"ci\" has scope read", "a change needs", "--scope write --app shop"]),
            (Needs::Console, &reader, ["\"ci\" has scope read", "a console needs", "--scope write --app shop"]),
            (Needs::Password, &reader, ["\"ci\" has scope read", "the password of a database", "--scope write"]),
            (Needs::Read, &reader, ["\"ci\" may only use app shop", "not about that app", "NAME --scope read"]),
            (Needs::Write("create"), &writer, ["\"ci\" may only use app shop", "not about that app", "--scope write"]),
            (Needs::AdminRead, &writer, ["\"ci\" may not", "only the admin token", "admin-token"]),
        ] {
            let refusal = needs.check(identity, false).expect_err("refused");
            assert!(words.iter().all(|word| refusal.contains(word)), "{needs:?}: {refusal}");
        }
    }
}
