//! Databases.

use crate::value::form;
use crate::value::rule::{ANY, NAME, range};
use crate::value::{object, words};

object! {
    /// A database of the app.
    "a database" struct Database labelled "name" name {
        /// Unique among all components and databases. References begin with it, as in `${db.DATABASE_URL}`.
        name: String = NAME,
        /// The kind of database; see [`Database::engine`].
        engine: Option<Engine> = ANY.or("PG"),
        /// The major version, for example `16`. Absent: a current version.
        version: Option<String> = ANY.of_form(form::database_version).like(form::TAG),
        /// Uses a managed cluster of the account instead of a database made for the app.
        production: bool = ANY,
        /// The name of the managed cluster.
        cluster_name: Option<String> = ANY,
        /// The name of the database in the cluster.
        db_name: Option<String> = ANY,
        /// The name of the user in the cluster.
        db_user: Option<String> = ANY,
        /// Deprecated: the size of the cluster.
        size: Option<String> = ANY,
        /// Deprecated: the number of nodes in the cluster.
        num_nodes: Option<u32> = range(1, i64::MAX),
    }
}

words! {
    /// The kind of database.
    enum Engine {
        /// Not given, so PostgreSQL.
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
    /// The kind of database. Defaults to PostgreSQL.
    pub fn engine(&self) -> Engine {
        match self.engine {
            None | Some(Engine::Unset) => Engine::Pg,
            Some(engine) => engine,
        }
    }
}
