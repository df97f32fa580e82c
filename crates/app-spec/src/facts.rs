//! What is known about an app that runs, and what its databases are called by: the values behind references.

use std::collections::BTreeMap;
use std::fmt;

use crate::resolve::{ResolvedValue, plain};
use crate::secret::SecretText;
use crate::spec::Engine;

/// What is known about an app that runs, beyond its spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// `${APP_ID}`.
    pub app_id: String,
    /// `${APP_URL}`: scheme and host, for example `http://shop.localhost:8080`.
    pub app_url: String,
    /// `${APP_DOMAIN}`: the host alone.
    pub app_domain: String,
    /// By the database's name in the spec.
    pub databases: BTreeMap<String, DatabaseFacts>,
    /// The commit each component was built from. Absent: an image, or not built yet.
    pub commits: BTreeMap<String, String>,
}

/// How a database is reached.
#[derive(Clone, PartialEq)]
pub struct DatabaseFacts {
    /// Host on the app's network.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User.
    pub username: String,
    /// The user's password.
    pub password: SecretText,
    /// The database inside the server.
    pub database: String,
}

impl fmt::Debug for DatabaseFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseFacts({}@{}:{}/{})", self.username, self.host, self.port, self.database)
    }
}

impl DatabaseFacts {
    /// The value of `${db.what}`. TLS is not used on the app's own network, so `CA_CERT` is empty.
    pub(crate) fn value(&self, engine: Engine, what: &str) -> ResolvedValue {
        match what {
            "HOSTNAME" => plain(self.host.clone()),
            "PORT" => plain(self.port.to_string()),
            "USERNAME" => plain(self.username.clone()),
            "DATABASE" => plain(self.database.clone()),
            "CA_CERT" => plain(String::new()),
            "PASSWORD" => ResolvedValue { text: self.password.expose().to_owned(), secret: true },
            "JDBC_DATABASE_URL" => ResolvedValue { text: self.jdbc_url(engine), secret: true },
            _ => ResolvedValue { text: self.url(engine), secret: true },
        }
    }

    fn url(&self, engine: Engine) -> String {
        let scheme = match engine {
            Engine::Pg | Engine::Unset => "postgresql",
            Engine::Mysql => "mysql",
            Engine::Redis | Engine::Valkey => "redis",
            Engine::Mongodb => "mongodb",
            Engine::Kafka => "kafka",
            Engine::Opensearch => "http",
        };
        let (user, password) = (encoded(&self.username), encoded(self.password.expose()));
        let path = if self.database.is_empty() { String::new() } else { format!("/{}", encoded(&self.database)) };
        format!("{scheme}://{user}:{password}@{}:{}{path}", self.host, self.port)
    }

    fn jdbc_url(&self, engine: Engine) -> String {
        let scheme = if engine == Engine::Mysql { "mysql" } else { "postgresql" };
        let (user, password) = (encoded(&self.username), encoded(self.password.expose()));
        let database = encoded(&self.database);
        format!("jdbc:{scheme}://{}:{}/{database}?user={user}&password={password}", self.host, self.port)
    }
}

/// Percent-encodes all but what RFC 3986 leaves unreserved, so that any password fits into an address.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
