//! What the form for one variable does to a spec. Pure.

use app_spec::{AppSpec, Diagnostic, EnvKind, EnvScope, EnvValue, EnvVar, Parsed, SecretText, is_sealed};

use crate::request::Fields;

/// What a form does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    Add,
    Change,
    Remove,
}

impl Edit {
    /// The edit that a query or a form asks for by `action`.
    pub fn of(fields: &Fields) -> Option<Self> {
        [Self::Add, Self::Change, Self::Remove].into_iter().find(|it| fields.get("action") == Some(it.word()))
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Change => "change",
            Self::Remove => "remove",
        }
    }
}

/// The variable that the fields describe by its component, or none for the app, its position and its name. `None`: it is gone.
pub(super) fn found<'a>(spec: &'a AppSpec, fields: &Fields) -> Option<&'a EnvVar> {
    let envs = match fields.get("of") {
        Some(component) => spec.component(component)?.envs(),
        None => &spec.envs,
    };
    envs.get(position(fields)?).filter(|it| fields.get("name") == Some(&it.key))
}

fn position(fields: &Fields) -> Option<usize> {
    fields.get("at")?.parse().ok()
}

/// The spec after the edit, checked. Errors: for people, why the form cannot be carried out.
pub(super) fn edited(spec: &AppSpec, edit: Edit, fields: &Fields) -> Result<Parsed, String> {
    let mut spec = spec.clone();
    apply(&mut spec, edit, fields)?;
    // Reading it again checks its rules. The text does not leave this function.
    let written = spec.to_json_value(&|_, secret| secret.expose().to_owned());
    AppSpec::from_json(&written).map_err(|problems| {
        let errors = problems.iter().filter(|it| it.is_error());
        errors.map(in_words).collect::<Vec<_>>().join("\n")
    })
}

/// A problem, with its path if it is not about a variable.
fn in_words(it: &Diagnostic) -> String {
    match &it.help {
        _ if !it.path.contains("envs[") => it.to_string(),
        Some(help) => format!("{}; {help}", it.message),
        None => it.message.clone(),
    }
}

fn apply(spec: &mut AppSpec, edit: Edit, fields: &Fields) -> Result<(), String> {
    let owner = fields.get("of");
    let envs =
        spec.envs_mut(owner).ok_or_else(|| format!("The app has no component {}.", owner.unwrap_or_default()))?;
    let name = fields.get("name").unwrap_or_default().trim();
    if edit == Edit::Add {
        if envs.iter().any(|it| it.key == name) {
            return Err(format!("There is a variable {name} already. Change that one."));
        }
        envs.push(variable(name, fields, None)?);
        return Ok(());
    }
    let is_there = |at: &usize| envs.get(*at).is_some_and(|it| it.key == name);
    let gone = || format!("The variable {name} is no longer there. Close this, and look at the list again.");
    let at = position(fields).filter(is_there).ok_or_else(gone)?;
    match edit {
        Edit::Remove => drop(envs.remove(at)),
        _ => envs[at] = variable(name, fields, Some(&envs[at]))?,
    }
    Ok(())
}

fn variable(name: &str, fields: &Fields, before: Option<&EnvVar>) -> Result<EnvVar, String> {
    // Browsers send CRLF, also within a certificate or a key.
    let text = fields.all("value").next().unwrap_or_default().replace("\r\n", "\n");
    let is_secret = match fields.get("type") {
        Some(SECRET) => true,
        Some(GENERAL) => false,
        // Not taken as one of them: a secret could become readable.
        other => return Err(format!("The type must be {GENERAL} or {SECRET}, not {:?}.", other.unwrap_or_default())),
    };
    let was_secret = before.is_some_and(EnvVar::is_secret);
    let value = match before {
        _ if text.is_empty() && fields.has(RETYPE) => {
            return Err(format!("Type the value of {name} again. A secret is never sent back to the page."));
        }
        Some(before) if text.is_empty() && is_secret && was_secret => before.value.clone(),
        _ if text.is_empty() && is_secret => return Err(format!("The secret {name} needs a value.")),
        _ if text.is_empty() && was_secret => {
            return Err(format!("Type the value of {name} again. The panel does not show what was a secret."));
        }
        _ if is_secret && is_sealed(&text) => EnvValue::Sealed(text),
        _ if is_secret => EnvValue::Secret(SecretText::new(text)),
        _ => EnvValue::Plain(text),
    };
    let kind = if is_secret { EnvKind::Secret } else { EnvKind::General };
    let scope = SCOPES.iter().find(|(_, word, _)| fields.get("scope") == Some(word)).map(|(scope, ..)| *scope);
    Ok(EnvVar {
        key: name.to_owned(),
        value,
        scope: Some(scope.unwrap_or(EnvScope::RunAndBuildTime)),
        kind: Some(kind),
    })
}

/// A field of a form that was shown again without the secret that was typed. An empty value does not mean the old one then.
pub(super) const RETYPE: &str = "retype";
/// The word for a secret in forms.
pub(super) const SECRET: &str = "SECRET";
/// The word for a value that may be shown.
pub(super) const GENERAL: &str = "GENERAL";

/// Scopes with their words in forms, and what they mean.
pub(super) const SCOPES: [(EnvScope, &str, &str); 3] = [
    (EnvScope::RunAndBuildTime, "RUN_AND_BUILD_TIME", "Run and build time"),
    (EnvScope::RunTime, "RUN_TIME", "Run time"),
    (EnvScope::BuildTime, "BUILD_TIME", "Build time"),
];

/// The scope of a variable: its word in forms, and what it means.
pub(super) fn scope(env: &EnvVar) -> (&'static str, &'static str) {
    let found = SCOPES.iter().find(|(scope, ..)| *scope == env.scope());
    found.map_or(("", ""), |(_, word, label)| (word, label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> AppSpec {
        let image = "image: {registry_type: DOCKER_HUB, registry: test, repository: web, tag: '1'}";
        let text = format!(
            "name: shop\nenvs: [{{key: GREETING, value: hello}}]\nservices: [{{name: web, {image}, envs: [{{key: KEY, type: \
             SECRET, value: 'EV[1:a:b]'}}, {{key: A, value: '${{web.PRIVATE_URL}}'}}]}}]"
        );
        AppSpec::from_yaml(&text).expect("a spec").spec
    }

    fn envs(spec: &AppSpec) -> Vec<String> {
        let one = |it: &EnvVar| {
            let value = match &it.value {
                EnvValue::Secret(text) => format!("secret {}", text.expose()),
                EnvValue::Sealed(text) | EnvValue::Plain(text) => text.clone(),
                EnvValue::Missing => "missing".into(),
            };
            format!("{} {value} {:?}", it.key, it.scope())
        };
        let all = spec.envs.iter().chain(spec.services[0].common.envs.iter());
        all.map(one).collect()
    }

    #[test]
    fn a_form_adds_changes_or_removes_one_variable() {
        let (greeting, key, a) =
            ("GREETING hello RunAndBuildTime", "KEY EV[1:a:b] RunAndBuildTime", "A ${web.PRIVATE_URL} RunAndBuildTime");
        for (query, expected) in [
            ("action=add&name=B&value=1&type=GENERAL", vec![greeting, "B 1 RunAndBuildTime", key, a]),
            (
                "action=add&of=web&name=B&value=x%0D%0Ay&type=SECRET&scope=RUN_TIME",
                vec![greeting, key, a, "B secret x\ny RunTime"],
            ),
            ("action=add&of=web&name=B&value=&type=GENERAL", vec![greeting, key, a, "B  RunAndBuildTime"]),
            ("action=change&of=web&at=0&name=KEY&value=&type=SECRET", vec![greeting, key, a]),
            (
                "action=change&of=web&at=0&name=KEY&value=new&type=SECRET&scope=BUILD_TIME",
                vec![greeting, "KEY secret new BuildTime", a],
            ),
            ("action=change&of=web&at=0&name=KEY&value=new&type=GENERAL", vec![greeting, "KEY new RunAndBuildTime", a]),
            ("action=change&at=0&name=GREETING&value=&type=GENERAL", vec!["GREETING  RunAndBuildTime", key, a]),
            ("action=remove&of=web&at=1&name=A", vec![greeting, key]),
        ] {
            let fields = Fields::of(query);
            let edit = Edit::of(&fields).expect("an edit");
            let parsed = edited(&shop(), edit, &fields).expect(query);
            assert_eq!(envs(&parsed.spec), expected, "{query}");
        }
    }

    #[test]
    fn a_form_that_cannot_be_carried_out_says_why_without_the_value() {
        for (query, why) in [
            ("action=add&of=wbe&name=B&value=canary", "no component wbe"),
            ("action=add&of=web&name=KEY&value=canary", "a variable KEY already"),
            ("action=add&of=web&name=B&value=&type=SECRET", "B needs a value"),
            ("action=add&of=web&name=1B&value=canary&type=GENERAL", "1B"),
            ("action=add&of=web&name=&value=canary&type=GENERAL", "needs `key`"),
            ("action=change&of=web&at=1&name=KEY&value=canary", "no longer there"),
            ("action=change&of=web&at=9&name=KEY&value=canary", "no longer there"),
            ("action=change&of=web&at=0&name=KEY&value=&type=GENERAL", "Type the value of KEY again"),
            ("action=change&of=web&at=0&name=KEY&value=new&type=secret", "must be GENERAL or SECRET, not \"secret\""),
            ("action=change&of=web&at=0&name=KEY&value=new", "must be GENERAL or SECRET"),
            ("action=change&at=0&name=GREETING&value=&type=SECRET", "GREETING needs a value"),
            ("action=remove&of=web&at=0&name=A", "no longer there"),
        ] {
            let fields = Fields::of(query);
            let edit = Edit::of(&fields).expect("an edit");
            let refusal = edited(&shop(), edit, &fields).map(drop).expect_err(query);
            assert!(refusal.contains(why) && !refusal.contains("canary"), "{query}: {refusal}");
        }
    }
}
