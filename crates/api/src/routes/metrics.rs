//! Health and bandwidth of apps, and metrics for Prometheus.

use std::time::SystemTime;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use controller::view::ComponentHealthView;
use rollout::ids::AppId;
use rollout::time::Timestamp;
use serde_json::{Value, json};
use web::{Access, HttpError, PathParams};

use super::JsonResult;
use crate::body::RequestBody;
use crate::query::QueryParams;
use crate::render;

/// As many as App Platform allows in one request.
const MAX_APPS: usize = 100;

/// Everything that is counted, for Prometheus.
pub(super) async fn prometheus(access: Access) -> Result<impl IntoResponse, HttpError> {
    let (view, certificates) = (access.control.metrics().await?, access.control.certificates().await?);
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((kind, render::metrics(&view, &certificates)))
}

pub(super) async fn health(access: Access, PathParams(app): PathParams<String>) -> JsonResult {
    let view = access.app(&app).await?;
    let components = access.control.health(&view.id).await?;
    let components: Vec<_> = components.iter().map(component_health).collect();
    Ok(Json(json!({ "app_health": { "components": components } })))
}

fn component_health(view: &ComponentHealthView) -> Value {
    let state = if view.replicas_ready >= view.replicas_desired as usize { "HEALTHY" } else { "UNHEALTHY" };
    json!({
        "name": view.component.as_str(),
        "cpu_usage_percent": view.cpu_percent,
        "memory_usage_percent": view.memory_percent,
        "replicas_desired": view.replicas_desired,
        "replicas_ready": view.replicas_ready,
        "state": state,
    })
}

pub(super) async fn bandwidth(access: Access, PathParams(app): PathParams<String>, params: QueryParams) -> JsonResult {
    let day = day(params.get("date"), SystemTime::now().into())?;
    usage(&access, &[app], day).await
}

pub(super) async fn bandwidth_of_apps(access: Access, content: RequestBody) -> JsonResult {
    let apps = content.names("app_ids")?;
    if apps.is_empty() || apps.len() > MAX_APPS {
        let message = format!("field \"app_ids\" must have 1 to {MAX_APPS} app ids, not {}", apps.len());
        return Err(HttpError::bad_request(message));
    }
    let day = day(content.text("date")?.as_deref(), SystemTime::now().into())?;
    usage(&access, &apps, day).await
}

async fn usage(access: &Access, apps: &[String], day: NaiveDate) -> JsonResult {
    let midnight = day.and_time(NaiveTime::MIN).and_utc();
    let at = Timestamp(u64::try_from(midnight.timestamp_millis()).unwrap_or_default());
    let mut ids = Vec::new();
    for app in apps {
        ids.push(access.app(app).await?.id);
    }
    let sent = access.control.bandwidth(&ids, at).await?;
    // Clients read the number from a string.
    let of = |(id, bytes): (&AppId, &u64)| json!({ "app_id": id.as_str(), "bandwidth_bytes": bytes.to_string() });
    let usage: Vec<_> = ids.iter().zip(&sent).map(of).collect();
    Ok(Json(json!({ "app_bandwidth_usage": usage, "date": present::rfc3339(midnight) })))
}

/// The day of a time in RFC 3339, or yesterday. Only the day counts.
fn day(date: Option<&str>, now: DateTime<Utc>) -> Result<NaiveDate, HttpError> {
    let today = now.date_naive();
    let Some(text) = date else { return Ok(today.checked_sub_days(Days::new(1)).unwrap_or(today)) };
    let day = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.to_utc().date_naive(),
        Err(_) => {
            let message = format!("date must be a time such as 2026-03-01T00:00:00Z, not {text:?}");
            return Err(HttpError::bad_request(message));
        }
    };
    match day > today {
        true => Err(HttpError::bad_request(format!("date must not be in the future, and {text} is"))),
        false => Ok(day),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_day_of_a_date_counts_and_none_means_yesterday() {
        let now = DateTime::from_timestamp(1_772_366_400, 0).expect("1 March 2026, 12:00");
        let of = |text: Option<&str>| day(text, now).map(|it| it.to_string()).map_err(|error| error.message);
        assert_eq!(of(None).as_deref(), Ok("2026-02-28"));
        assert_eq!(of(Some("2026-02-07T23:59:59.000Z")).as_deref(), Ok("2026-02-07"));
        assert_eq!(of(Some("2026-02-07T23:30:00-02:00")).as_deref(), Ok("2026-02-08"), "in UTC");
        assert_eq!(of(Some("2026-03-01T00:00:00Z")).as_deref(), Ok("2026-03-01"), "today so far");
        for (wrong, why) in
            [("2026-03-02T00:00:00Z", "future"), ("yesterday", "2026-03-01T00:00:00Z"), ("2026-03-01", "time")]
        {
            assert!(of(Some(wrong)).is_err_and(|message| message.contains(why)), "{wrong}");
        }
    }
}
