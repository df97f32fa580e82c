//! Reads query parameters.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use controller::view::{LogKind, PageQuery};

use crate::error::ApiError;
use crate::state::ApiState;

/// App Platform's default page size.
const PER_PAGE: u64 = 20;
/// App Platform's largest page size.
const MAX_PER_PAGE: u64 = 200;

/// All parameters, in order. Like App Platform, the API ignores unknown ones.
pub(crate) struct QueryParams(Vec<(String, String)>);

impl FromRequestParts<ApiState> for QueryParams {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::bad_request(format!("the query cannot be read: {}", error.body_text())))?;
        Ok(Self(pairs))
    }
}

impl QueryParams {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// `true` or `false`; false if absent.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name) {
            None | Some("false" | "False" | "0") => Ok(false),
            Some("true" | "True" | "1") => Ok(true),
            Some(other) => Err(ApiError::bad_request(format!("{name} must be true or false, not {other:?}"))),
        }
    }

    /// The requested page. A `per_page` over 200 means 200.
    pub fn page(&self) -> Result<PageQuery, ApiError> {
        let page = self.positive("page")?.unwrap_or(1);
        let per_page = self.positive("per_page")?.unwrap_or(PER_PAGE).min(MAX_PER_PAGE);
        Ok(PageQuery { page, per_page })
    }

    fn positive(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<u64>() {
            Ok(number @ 1..=1_000_000_000) => Ok(Some(number)),
            _ => Err(ApiError::bad_request(format!("{name} must be a number of at least 1, not {text:?}"))),
        }
    }

    /// Which log. No type, and pydo's `UNSPECIFIED`, mean the log of running instances.
    pub fn log_kind(&self) -> Result<LogKind, ApiError> {
        match self.get("type").unwrap_or("UNSPECIFIED").to_ascii_uppercase().as_str() {
            "RUN" | "UNSPECIFIED" => Ok(LogKind::Run),
            "BUILD" => Ok(LogKind::Build),
            "DEPLOY" => Ok(LogKind::Deploy),
            "RUN_RESTARTED" => Ok(LogKind::RunRestarted),
            other => {
                Err(ApiError::bad_request(format!("type must be BUILD, DEPLOY, RUN or RUN_RESTARTED, not {other:?}")))
            }
        }
    }

    /// How many of the last lines. doctl sends -1 for all; 0 means none.
    pub fn tail(&self) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.get("tail_lines") else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(lines) => Ok(usize::try_from(lines).ok()),
            Err(_) => Err(ApiError::bad_request(format!("tail_lines must be a number, not {text:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(pairs: &[(&str, &str)]) -> QueryParams {
        QueryParams(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn pages_have_app_platforms_defaults_and_limits() {
        let page = |pairs: &[(&str, &str)]| params(pairs).page().map(|it| (it.page, it.per_page)).ok();
        assert_eq!(page(&[]), Some((1, 20)));
        assert_eq!(page(&[("page", "3"), ("per_page", "900")]), Some((3, 200)));
        assert_eq!(page(&[("page", "0")]), None);
        assert_eq!(page(&[("per_page", "many")]), None);
    }

    #[test]
    fn minus_one_from_doctl_means_all_lines_and_zero_means_none() {
        let tail = |text: &str| params(&[("tail_lines", text)]).tail().ok();
        assert_eq!(tail("-1"), Some(None));
        assert_eq!(tail("0"), Some(Some(0)));
        assert_eq!(tail("5"), Some(Some(5)));
        assert_eq!(tail("x"), None);
    }

    #[test]
    fn an_unspecified_log_type_means_running_instances() {
        let kind = |text: &str| params(&[("type", text)]).log_kind().ok();
        assert_eq!(kind("UNSPECIFIED"), Some(LogKind::Run));
        assert_eq!(params(&[]).log_kind().ok(), Some(LogKind::Run));
        assert_eq!(kind("run_restarted"), Some(LogKind::RunRestarted));
        assert_eq!(kind("AUTOSCALE_EVENT"), None);
    }
}
