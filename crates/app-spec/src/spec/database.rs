//! Databases.

use crate::value::form;
use crate::value::rule::{ANY, NAME, range};
use crate::value::{object, words};

object! {
    /// A database of the app.
    "a database" struct Database labelled name {
        /// Unique among all components and databases; begins the references, as in `${db.DATABASE_URL}`.
        name: String = NAME,
        /// Which database it is; see [`Database::engine`].
        engine: Option<Engine> = ANY.or("PG"),
        /// The major version, for example `16`; absent: a current one.
        version: Option<String> = ANY.of_form(form::database_version).like(form::TAG),
        /// A managed cluster of the account in place of one made for the app.
        production: bool = ANY,
        /// The managed cluster's name.
        cluster_name: Option<String> = ANY,
        /// The database inside the cluster.
        db_name: Option<String> = ANY,
        /// The user inside the cluster.
        db_user: Option<String> = ANY,
        /// Deprecated: the cluster's size.
        size: Option<String> = ANY,
        /// Deprecated: the cluster's nodes.
        num_nodes: Option<u32> = range(1, i64::MAX),
    }
}

words! {
    /// Which database it is.
    enum Engine {
        /// Not said: PostgreSQL.
        Unset = "UNSET",
        /// MySQL.
        Mysql = "MYSQL",
        /// PostgreSQL.
        Pg = "PG",
        /// Redis.
        Redis = "REDIS",
        /// MongoDB.
        Mongodb = "MONGODB",
        /// Kafka.
        Kafka = "KAFKA",
        /// OpenSearch.
        Opensearch = "OPENSEARCH",
        /// Valkey.
        Valkey = "VALKEY",
    }
}

impl Database {
    /// Which database it is; PostgreSQL when nothing is said.
    pub fn engine(&self) -> Engine {
        match self.engine {
            None | Some(Engine::Unset) => Engine::Pg,
            Some(engine) => engine,
        }
    }
}
