//! Deliveries to webhooks: adds rows, deletes the oldest ones, and reads the newest.

use rusqlite::{OptionalExtension, Params, Transaction, params};

use crate::damaged_rows::Damaged;
use crate::error::{DbError, StoreError};
use crate::query::ReadTx;
use crate::records::{DELIVERIES, Delivery};
use crate::store::Store;

pub(crate) const TABLE: &str = "webhook_deliveries";

impl Store {
    /// Records a delivery. Returns `false` and changes nothing if the webhook has a delivery with this id. Deletes the
    /// oldest deliveries beyond [`DELIVERIES`]. Errors: the webhook has no row.
    pub async fn add_delivery(&self, delivery: Delivery) -> Result<bool, StoreError> {
        let damaged = self.damaged_rows();
        self.write(move |writer| {
            let (added, _) = writer.transact(|tx| add(tx, &delivery))?;
            let Added::New { deleted } = added else { return Ok(false) };
            deleted.iter().for_each(|number| damaged.clear(TABLE, &key(&delivery.webhook, *number)));
            Ok(true)
        })
        .await
    }

    /// Changes a delivery on record: `change` gets what is stored. Does nothing if the delivery was deleted.
    pub async fn change_delivery(
        &self,
        webhook: &str,
        id: &str,
        change: impl FnOnce(&mut Delivery) + Send + 'static,
    ) -> Result<(), StoreError> {
        let (webhook, id) = (webhook.to_owned(), id.to_owned());
        self.write(move |writer| writer.transact(|tx| update(tx, &webhook, &id, change)).map(|_| ())).await
    }

    /// The newest deliveries to a webhook, newest first.
    pub async fn deliveries(&self, webhook: &str, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        let webhook = webhook.to_owned();
        self.read(move |tx| tx.deliveries("WHERE webhook = ?1 ORDER BY number DESC LIMIT ?2", (webhook, limit))).await
    }

    /// The deliveries of which the result is not known for all apps, oldest first.
    pub async fn open_deliveries(&self) -> Result<Vec<Delivery>, StoreError> {
        self.read(|tx| tx.deliveries("WHERE open = 1 ORDER BY number", [])).await
    }
}

enum Added {
    New {
        /// The numbers of the oldest rows, which were deleted.
        deleted: Vec<i64>,
    },
    KnownAlready,
}

fn add(tx: &Transaction<'_>, delivery: &Delivery) -> Result<Added, DbError> {
    let sql = "INSERT INTO webhook_deliveries (webhook, id, open, body) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING";
    let row = params![delivery.webhook, delivery.id, delivery.is_open(), body(delivery)];
    if tx.prepare_cached(sql)?.execute(row)? == 0 {
        return Ok(Added::KnownAlready);
    }
    let surplus = "DELETE FROM webhook_deliveries WHERE webhook = ?1 AND number <= (
        SELECT number FROM webhook_deliveries WHERE webhook = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)
        RETURNING number";
    let mut surplus = tx.prepare_cached(surplus)?;
    let deleted = surplus.query_map(params![delivery.webhook, DELIVERIES], |row| row.get(0))?;
    Ok(Added::New { deleted: deleted.collect::<Result<_, _>>()? })
}

fn update(tx: &Transaction<'_>, webhook: &str, id: &str, change: impl FnOnce(&mut Delivery)) -> Result<(), DbError> {
    let found = "SELECT body FROM webhook_deliveries WHERE webhook = ?1 AND id = ?2";
    let found: Option<String> = tx.prepare_cached(found)?.query_row([webhook, id], |row| row.get(0)).optional()?;
    let Some(mut delivery) = found.and_then(|it| serde_json::from_str::<Delivery>(&it).ok()) else { return Ok(()) };
    change(&mut delivery);
    let sql = "UPDATE webhook_deliveries SET open = ?3, body = ?4 WHERE webhook = ?1 AND id = ?2";
    tx.prepare_cached(sql)?.execute(params![webhook, id, delivery.is_open(), body(&delivery)])?;
    Ok(())
}

/// The key of a row in reports about damaged rows.
fn key(webhook: &str, number: i64) -> String {
    format!("{webhook}/{number}")
}

fn body(delivery: &Delivery) -> String {
    serde_json::to_string(delivery).expect("records have string keys, so they can be serialized")
}

impl ReadTx<'_> {
    fn deliveries(&self, clauses: &str, params: impl Params) -> Result<Vec<Delivery>, DbError> {
        let mut statement =
            self.conn.prepare_cached(&format!("SELECT webhook, number, body FROM {TABLE} {clauses}"))?;
        let rows = statement
            .query_map(params, |row| {
                let key = key(&row.get::<_, String>(0)?, row.get(1)?);
                Ok((key, row.get_ref(2)?.as_bytes()?.to_vec()))
            })?
            .collect::<Result<Vec<_>, _>>()?;
        Ok(rows.into_iter().filter_map(|(key, body)| self.delivery(key, &body)).collect())
    }

    /// `None` for a row that cannot be read. It is reported.
    fn delivery(&self, key: String, body: &[u8]) -> Option<Delivery> {
        let damaged = |cause: serde_json::Error| {
            let why = format!("its JSON body cannot be parsed at byte {}", cause.column());
            self.damaged.add(&Damaged { table: TABLE, key, why });
        };
        serde_json::from_slice(body).map_err(damaged).ok()
    }
}
