//! The databases that specs declare, with their properties.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use app_spec::AppSpec;
use rand::Rng;
use rollout::ids::{AppId, ComponentName};
use store::records::{AppState, Database};

use crate::app::Shared;

/// The PostgreSQL version if the spec names none: the newest that App Platform names.
const PG_DEFAULT: &str = "17";
const PG_PORT: u16 = 5432;

/// The databases of a spec with password, address and volume: the recorded ones, and new ones for the rest. Errors: a
/// sentence.
pub(crate) fn databases_for(shared: &Shared, state: &AppState, spec: &AppSpec) -> Result<Vec<Database>, String> {
    let network = shared.config.network_pool.network(state.app.network);
    let mut taken: BTreeSet<_> = state.databases.iter().map(|it| it.address).collect();
    taken.extend(state.instances.iter().map(|it| it.address));
    taken.extend(state.job_runs.iter().filter(|it| !it.collected).map(|it| it.address));
    let mut databases: Vec<Database> = Vec::new();
    for wanted in &spec.databases {
        let name = ComponentName::from(wanted.name.as_str());
        if let Some(known) = state.databases.iter().find(|it| it.name == name) {
            // A database that returns to the spec may start on an empty volume, because its old one may have been
            // removed.
            let created = known.created && known.wanted;
            databases.push(Database { wanted: true, created, ..known.clone() });
            continue;
        }
        let address = network.free(&taken, None).ok_or_else(|| format!("no free address for database {name}"))?;
        taken.insert(address);
        databases.push(new_database(shared, &state.app.id, wanted, address));
    }
    Ok(databases)
}

fn new_database(shared: &Shared, app: &AppId, wanted: &app_spec::Database, address: Ipv4Addr) -> Database {
    let name = ComponentName::from(wanted.name.as_str());
    let version = wanted.version.clone().unwrap_or_else(|| PG_DEFAULT.into());
    Database {
        app: app.clone(),
        image: database_image(shared, "PG", &version),
        engine: "PG".into(),
        version,
        user: name.as_str().replace('-', "_"),
        password: random_password(),
        database: name.as_str().replace('-', "_"),
        port: PG_PORT,
        address,
        container: shared.names.database(app, &name),
        volume: shared.names.volume(app, &name),
        wanted: true,
        created: false,
        container_id: None,
        name,
    }
}

fn database_image(shared: &Shared, engine: &str, version: &str) -> String {
    let configured = shared.config.database_images.iter().find(|(name, _)| name.eq_ignore_ascii_case(engine));
    configured.map_or_else(|| format!("postgres:{version}"), |(_, image)| image.clone())
}

/// Databases that are wanted now but missing from this spec. They stop once the deployment has succeeded.
pub(crate) fn databases_unwanted_by<'a>(state: &'a AppState, spec: &AppSpec) -> impl Iterator<Item = &'a Database> {
    state.databases.iter().filter(|it| it.wanted && spec.database(it.name.as_str()).is_none())
}

/// A sentence if the spec asks for another version than the database has. The database's files require its current
/// version.
pub(crate) fn kept_version(database: &Database, spec: &AppSpec) -> Option<String> {
    let asked = spec.database(database.name.as_str())?.version.as_ref().filter(|it| **it != database.version)?;
    let (name, version) = (&database.name, &database.version);
    Some(format!("database {name} stays at version {version}, not {asked}: its files are of that version"))
}

/// 32 letters and digits, so that no URL has to escape them.
fn random_password() -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";
    let mut random = rand::rng();
    (0..32).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}
