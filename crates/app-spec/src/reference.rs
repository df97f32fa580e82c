//! Parses references in the values of variables, `${NAME}` and `${component.NAME}`, and finds what they name.
//! [`crate::resolve`] finds their values.

use crate::spec::{AppSpec, Component, ComponentKind, Database, Engine};

/// A piece of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part<'t> {
    Text(&'t str),
    Reference(Reference<'t>),
}

/// `${owner.name}` or `${name}`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reference<'t> {
    /// The reference as written, with its braces.
    pub written: &'t str,
    pub owner: Option<&'t str>,
    pub name: &'t str,
}

/// Splits a value into text and references. Similar forms (`${VAR:-x}`, `$VAR`, `$(VAR)`) stay text.
pub(crate) fn parts(value: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut text_from, mut at) = (0, 0);
    while let Some(found) = value[at..].find("${") {
        let start = at + found;
        at = start + 2;
        let Some(length) = value[at..].find('}') else { break };
        let end = at + length + 1;
        if let Some(reference) = reference(&value[start..end]) {
            if text_from < start {
                parts.push(Part::Text(&value[text_from..start]));
            }
            parts.push(Part::Reference(reference));
            (text_from, at) = (end, end);
        }
    }
    if text_from < value.len() {
        parts.push(Part::Text(&value[text_from..]));
    }
    parts
}

fn reference(written: &str) -> Option<Reference<'_>> {
    let inner = written.strip_prefix("${")?.strip_suffix('}')?;
    let (owner, name) = match inner.split_once('.') {
        Some((owner, name)) => (Some(owner), name),
        None => (None, inner),
    };
    let owner_is_good = |owner: &str| {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=32).contains(&owner.len()) && owner.bytes().all(good)
    };
    // A connection pool of a database adds a part: `${db.pool.DATABASE_URL}`.
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || (owner.is_some() && (b == b'.' || b == b'-'));
    let name_is_good = name.bytes().all(good) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    (name_is_good && owner.is_none_or(owner_is_good)).then_some(Reference { written, owner, name })
}

/// The names that belong to the whole app.
pub(crate) const OF_APP: &[&str] = &["APP_ID", "APP_DOMAIN", "APP_URL"];

/// The names that a component of this kind offers.
pub(crate) fn of_component(kind: ComponentKind) -> &'static [&'static str] {
    match kind {
        ComponentKind::Service => {
            &["PUBLIC_URL", "PUBLIC_ROUTE_PATH", "COMMIT_HASH", "PRIVATE_DOMAIN", "PRIVATE_URL", "PRIVATE_PORT"]
        }
        ComponentKind::StaticSite => &["PUBLIC_URL", "PUBLIC_ROUTE_PATH", "COMMIT_HASH"],
        ComponentKind::Function => {
            &["PUBLIC_URL", "PUBLIC_ROUTE_PATH", "COMMIT_HASH", "FUNCTIONS_LOG_DESTINATION_JSON"]
        }
        ComponentKind::Worker | ComponentKind::Job => &["COMMIT_HASH"],
    }
}

/// The names that a database of this engine offers.
pub(crate) fn of_database(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Pg | Engine::Mysql | Engine::Unset => {
            &["HOSTNAME", "PORT", "USERNAME", "PASSWORD", "DATABASE", "DATABASE_URL", "JDBC_DATABASE_URL", "CA_CERT"]
        }
        Engine::Mongodb => &["HOSTNAME", "PORT", "USERNAME", "PASSWORD", "DATABASE", "DATABASE_URL", "CA_CERT"],
        Engine::Redis | Engine::Valkey => {
            &["HOSTNAME", "PORT", "USERNAME", "PASSWORD", "DATABASE_URL", "REDIS_URL", "CA_CERT"]
        }
        Engine::Kafka | Engine::Opensearch => &["HOSTNAME", "PORT", "USERNAME", "PASSWORD", "DATABASE_URL", "CA_CERT"],
    }
}

/// The name without the connection pool before it, as in `${db.pool.DATABASE_URL}`. Boatyard has no pools, so the
/// reference means the database.
pub(crate) fn without_pool(engine: Engine, name: &str) -> &str {
    match name.split_once('.') {
        Some((_, value)) if matches!(engine, Engine::Pg | Engine::Unset) && of_database(engine).contains(&value) => {
            value
        }
        _ => name,
    }
}

/// What a reference names.
pub(crate) enum Meaning<'a> {
    /// One of [`OF_APP`].
    App,
    Database(&'a Database, &'static [&'static str]),
    Component(Component<'a>, &'static [&'static str]),
    /// A variable, which may not exist.
    Variable,
    /// No component or database has that name.
    NoOwner,
}

/// What `reference` names in a variable of `holder`, or of the app if `holder` is `None`.
pub(crate) fn meaning<'a>(spec: &'a AppSpec, holder: Option<Component<'a>>, reference: Reference<'_>) -> Meaning<'a> {
    let Some(owner) = reference.owner else {
        return if OF_APP.contains(&reference.name) { Meaning::App } else { Meaning::Variable };
    };
    let component = if owner == "_self" { holder } else { spec.component(owner) };
    if let Some(component) = component {
        return Meaning::Component(component, of_component(component.kind()));
    }
    match spec.database(owner) {
        Some(database) => Meaning::Database(database, of_database(database.engine())),
        None => Meaning::NoOwner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &str) -> Vec<&str> {
        let references = parts(value).into_iter();
        references.filter_map(|p| if let Part::Reference(r) = p { Some(r.written) } else { None }).collect()
    }

    #[test]
    fn references_are_distinguished_from_similar_text() {
        let cases: &[(&str, &[&str])] = &[
            ("${db.DATABASE_URL}", &["${db.DATABASE_URL}"]),
            ("postgres://u:${db-1.PASSWORD}@${db-1.HOSTNAME}/x", &["${db-1.PASSWORD}", "${db-1.HOSTNAME}"]),
            ("${_self.COMMIT_HASH}${APP_URL}", &["${_self.COMMIT_HASH}", "${APP_URL}"]),
            ("${db.pool.DATABASE_URL}", &["${db.pool.DATABASE_URL}"]),
            ("$VAR $(VAR) ${} ${VAR:-x} ${a b} $${", &[]),
            ("${ ${KEY}", &["${KEY}"]),
            ("${open", &[]),
        ];
        for (value, wanted) in cases {
            assert_eq!(written(value), *wanted, "{value}");
        }
    }

    #[test]
    fn the_pieces_of_a_value_make_up_the_value() {
        for value in ["", "a${B}c", "${A}${B}", "x ${ y ${Z} ${", "ä${db.X}ö"] {
            let text = |p: Part<'_>| match p {
                Part::Text(text) => text.to_owned(),
                Part::Reference(reference) => reference.written.to_owned(),
            };
            assert_eq!(parts(value).into_iter().map(text).collect::<String>(), value);
        }
    }
}
