//! The facts about a running app from which references get their values, and the names under which databases offer
//! theirs.

use std::collections::BTreeMap;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::resolve::{ResolvedValue, plain};
use crate::secret::SecretText;
use crate::spec::Engine;

/// The facts about a running app that are not in its spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// `${APP_ID}`.
    pub app_id: String,
    /// `${APP_URL}`: scheme and host, for example `http://shop.localhost:8080`.
    pub app_url: String,
    /// `${APP_DOMAIN}`: the host alone.
    pub app_domain: String,
    /// Connection facts by the database's name in the spec.
    pub databases: BTreeMap<String, DatabaseFacts>,
    /// The commit each component was built from. A component has none if it uses an image or is not built yet.
    pub commits: BTreeMap<String, String>,
}

/// How to connect to a database.
#[derive(Clone, PartialEq)]
pub struct DatabaseFacts {
    /// The host name on the app's network.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user name.
    pub username: String,
    /// The user's password.
    pub password: SecretText,
    /// The name of the database inside the server.
    pub database: String,
}

impl fmt::Debug for DatabaseFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseFacts({}@{}:{}/{})", self.username, self.host, self.port, self.database)
    }
}

impl DatabaseFacts {
    /// The value of `${db.what}`. Connections inside the app's network do not use TLS, so `CA_CERT` is empty.
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

    /// The value of `${db.DATABASE_URL}`, which contains the password.
    pub fn url(&self, engine: Engine) -> String {
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

/// Every character but those that RFC 3986 lists as unreserved, so that any password fits into a URL.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}
