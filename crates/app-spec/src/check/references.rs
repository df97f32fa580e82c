//! References in the values of variables. Reports references that stay as text, and references that have no value in a
//! build when the variable exists only in builds.

use std::collections::HashSet;

use crate::build_kind::{BuildKind, build_kind};
use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::reference::{Meaning, OF_APP, Part, Reference, meaning, of_component, parts, without_pool};
use crate::routes::{Origin, default_components, origin};
use crate::spec::{AppSpec, Component, EnvScope, EnvValue, EnvVar};
use crate::suggest::{nearest, one_of, shown};

/// Checks the references of one spec.
pub(super) struct References<'a> {
    pub(super) spec: &'a AppSpec,
    /// The components that are reachable from outside the app.
    public: HashSet<&'a str>,
}

/// What is wrong with a reference, and the advice.
type Fault = Option<(String, String)>;

fn fault(message: impl Into<String>, help: impl Into<String>) -> Fault {
    Some((message.into(), help.into()))
}

impl<'a> References<'a> {
    pub(super) fn of(spec: &'a AppSpec) -> References<'a> {
        let public = match origin(spec) {
            Origin::Ingress(rules) => {
                rules.iter().filter_map(|rule| rule.component.as_ref()).map(|it| it.name.as_str()).collect()
            }
            Origin::Routes => spec.components().filter(|it| !it.routes().is_empty()).map(Component::name).collect(),
            Origin::Nothing => default_components(spec).into_iter().map(Component::name).collect(),
        };
        References { spec, public }
    }

    /// `holder` is the component that has the variable, or `None` for a variable of the app. `path` is the path of the
    /// value.
    pub(super) fn check(
        &self,
        holder: Option<Component<'a>>,
        path: &str,
        env: &'a EnvVar,
        found: &mut Vec<Diagnostic>,
    ) {
        for reference in references(&env.value) {
            if found.len() >= Diagnostics::LIMIT {
                return;
            }
            if let Some((message, help)) = self.why_unresolved(holder, env, reference) {
                found.push(Diagnostic::warning(Code::UnknownReference, path, message).help(help));
            }
        }
        let only_in_builds = matches!(holder, Some(Component::StaticSite(_))) || env.scope() == EnvScope::BuildTime;
        if only_in_builds && let Some((message, help)) = self.in_a_build(holder, env) {
            found.push(Diagnostic::warning(Code::Doubtful, path, message).help(help));
        }
    }

    /// Why a reference stays as text in every scope, or `None` if it does not.
    fn why_unresolved(&self, holder: Option<Component<'a>>, env: &EnvVar, reference: Reference<'_>) -> Fault {
        let meaning = meaning(self.spec, holder, reference);
        let (message, help) = self.fault(&meaning, holder, env, reference)?;
        // In a secret, the text may be part of the secret. It is quoted only if it begins with a known name.
        let has_owner = matches!(meaning, Meaning::Database(..) | Meaning::Component(..));
        let is_shown = has_owner || reference.owner == Some("_self") || is_quotable(env, reference);
        let written =
            if is_shown { format!("`{}`", shown(reference.written)) } else { "a reference in this value".into() };
        fault(format!("{written} {message}"), help)
    }

    /// The part of the message that follows the reference, and the advice.
    fn fault(
        &self,
        meaning: &Meaning<'a>,
        holder: Option<Component<'a>>,
        env: &EnvVar,
        reference: Reference<'_>,
    ) -> Fault {
        let key = &*env.key;
        let names_nothing = |help| fault("names nothing and stays as text", help);
        match *meaning {
            Meaning::App => None,
            Meaning::Variable if reference.name == key => {
                let is_inherited = holder.is_some() && self.spec.envs.iter().any(|env| env.key == key);
                let message = "refers to this variable itself and stays as text";
                if is_inherited { None } else { fault(message, "write the value out") }
            }
            Meaning::Variable => names_nothing(self.variable(holder, reference.name)?),
            Meaning::Database(_, known) if known.contains(&reference.name) => None,
            Meaning::Database(database, known) if known.contains(&without_pool(database.engine(), reference.name)) => {
                let message = "names a connection pool; Boatyard has none and uses the database itself";
                fault(message, format!("leave out the name of the pool: `{}` has no pools", database.name))
            }
            Meaning::Database(database, known) => {
                names_nothing(format!("database `{}` has {}", database.name, one_of(known.iter().copied())))
            }
            Meaning::Component(component, known) if known.contains(&reference.name) => {
                let has_value = !reference.name.starts_with("PUBLIC_") || self.public.contains(component.name());
                let help = || format!("no route leads to `{}`", component.name());
                if has_value { None } else { fault("has no value and stays as text", help()) }
            }
            Meaning::Component(component, known) => names_nothing(offers(component, known)),
            Meaning::NoOwner if reference.owner == Some("_self") => self.of_each(reference),
            Meaning::NoOwner => names_nothing(self.no_owner(env, reference)),
        }
    }

    /// Checks a `_self` reference in a variable of the app, where `_self` stands for each component in turn.
    fn of_each(&self, reference: Reference<'_>) -> Fault {
        let lacks = |component: &Component<'_>| !of_component(component.kind()).contains(&reference.name);
        let component = self.spec.components().find(lacks)?;
        let message = format!("names nothing in `{}` and stays as text there", component.name());
        fault(message, offers(component, of_component(component.kind())))
    }

    /// Advice if no variable has the name. A variable of the app may refer to one that only some components have.
    fn variable(&self, holder: Option<Component<'a>>, name: &str) -> Option<String> {
        let known = || {
            let of_holder = holder.into_iter().flat_map(|c| c.envs().iter());
            let of_others = self.spec.components().filter(|_| holder.is_none()).flat_map(|c| c.envs().iter());
            of_holder.chain(&self.spec.envs).chain(of_others).map(|env| env.key.as_str())
        };
        if known().any(|key| key == name) {
            return None;
        }
        let mut keys: Vec<&str> = known().collect();
        keys.extend(OF_APP);
        Some(match nearest(name, keys) {
            Some(near) => format!("did you mean `${{{near}}}`?"),
            None => {
                "no variable of this component or of the app has that name; give its value, or write it out".to_owned()
            }
        })
    }

    fn no_owner(&self, env: &EnvVar, reference: Reference<'_>) -> String {
        let owner = reference.owner.unwrap_or_default();
        let databases = self.spec.databases.iter().map(|d| d.name.as_str());
        let names: Vec<&str> = self.spec.components().map(Component::name).chain(databases).collect();
        match nearest(owner, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if is_quotable(env, reference) => format!("no component or database is named `{}`", shown(owner)),
            None => "no component or database has that name".to_owned(),
        }
    }

    /// Why a reference has no value in a build, for a variable that exists only in builds. `None` if it has one.
    fn in_a_build(&self, holder: Option<Component<'a>>, env: &'a EnvVar) -> Fault {
        let known = || references(&env.value).filter(|it| self.why_unresolved(holder, env, *it).is_none());
        let of_database = known().find_map(|it| self.of_database(holder, it));
        of_database.or_else(|| {
            let reference = known().next().filter(|_| self.uses_dockerfile(holder))?;
            let written = shown(reference.written);
            let message = format!("a build with a Dockerfile replaces no references: `{written}` stays as text");
            fault(message, advice(holder, "write the value out, or give the variable `scope: RUN_TIME`"))
        })
    }

    /// Whether any component that gets the variable is built with a Dockerfile that the spec names.
    fn uses_dockerfile(&self, holder: Option<Component<'a>>) -> bool {
        let mut components = self.spec.components().filter(|it| holder.is_none_or(|holder| holder.name() == it.name()));
        components.any(|component| build_kind(component) == BuildKind::WithDockerfile)
    }

    fn of_database(&self, holder: Option<Component<'a>>, reference: Reference<'_>) -> Fault {
        let Meaning::Database(database, _) = meaning(self.spec, holder, reference) else { return None };
        let message = format!("database `{}` has no values during a build", database.name);
        fault(message, advice(holder, "give the variable `scope: RUN_TIME`"))
    }
}

/// The advice for `holder`. A static site is only built, so another scope would not help there.
fn advice(holder: Option<Component<'_>>, otherwise: &'static str) -> &'static str {
    match holder {
        Some(Component::StaticSite(_)) => "a static site is only built: write the value out",
        _ => otherwise,
    }
}

fn offers(component: Component<'_>, known: &[&str]) -> String {
    format!("{} `{}` has {}", component.kind().as_str(), component.name(), one_of(known.iter().copied()))
}

fn references(value: &EnvValue) -> impl Iterator<Item = Reference<'_>> {
    let text = match value {
        EnvValue::Plain(text) => text,
        EnvValue::Secret(secret) => secret.expose(),
        EnvValue::Sealed(_) | EnvValue::Missing => "",
    };
    parts(text).into_iter().filter_map(|part| match part {
        Part::Reference(reference) => Some(reference),
        Part::Text(_) => None,
    })
}

/// Whether a message may quote a reference. In a secret it may only if the reference is the whole value.
fn is_quotable(env: &EnvVar, reference: Reference<'_>) -> bool {
    match &env.value {
        EnvValue::Secret(secret) => secret.expose() == reference.written,
        EnvValue::Plain(_) | EnvValue::Sealed(_) | EnvValue::Missing => true,
    }
}
