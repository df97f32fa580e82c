//! Reads query parameters.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use controller::view::{LogKind, PageQuery};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use web::{Access, HttpError};

use crate::state::ApiState;

/// App Platform's default page size.
const PER_PAGE: u64 = 20;
/// App Platform's largest page size.
const MAX_PER_PAGE: u64 = 200;

/// The types of deployments that App Platform can list.
const DEPLOYMENT_TYPES: [&str; 7] = [
    "MANUAL",
    "DEPLOY_ON_PUSH",
    "MAINTENANCE",
    "MANUAL_ROLLBACK",
    "AUTO_ROLLBACK",
    "UPDATE_DATABASE_TRUSTED_SOURCES",
    "AUTOSCALED",
];

/// All parameters, in order. Like App Platform, the API ignores unknown ones.
pub(crate) struct QueryParams(Vec<(String, String)>);

impl FromRequestParts<ApiState> for QueryParams {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, HttpError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|error| HttpError::bad_request(format!("the query cannot be read: {}", error.body_text())))?;
        Ok(Self(pairs))
    }
}

/// Letters, digits and these characters stay as they are in a link.
const IN_LINKS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

impl QueryParams {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of a list, which clients send as `name=a&name=b`, or as `name=a,b`.
    pub fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(key, _)| key == name).flat_map(|(_, value)| value.split(','));
        values.map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
    }

    /// These parameters as the links to other pages of a list repeat them: `&name=a&name=b`.
    pub fn for_links(&self, names: &[&str]) -> String {
        let values = names.iter().flat_map(|name| self.all(name).into_iter().map(move |value| (name, value)));
        values.map(|(name, value)| format!("&{name}={}", utf8_percent_encode(&value, IN_LINKS))).collect()
    }

    /// The deployment types to list, in the spelling of the API. Empty means all.
    pub fn deployment_types(&self) -> Result<Vec<&'static str>, HttpError> {
        let known = |text: &str| {
            let found = DEPLOYMENT_TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(text));
            found.ok_or_else(|| {
                let all = DEPLOYMENT_TYPES.join(", ");
                HttpError::bad_request(format!("deployment_types must be among {all}, not {text:?}"))
            })
        };
        self.all("deployment_types").iter().map(|text| known(text)).collect()
    }

    /// `true` or `false`; false if absent.
    pub fn flag(&self, name: &str) -> Result<bool, HttpError> {
        match self.get(name) {
            None | Some("false" | "False" | "0") => Ok(false),
            Some("true" | "True" | "1") => Ok(true),
            Some(other) => Err(HttpError::bad_request(format!("{name} must be true or false, not {other:?}"))),
        }
    }

    /// Whether the request only previews a change. The audit trail then does not record it. Call this only where the
    /// handler obeys the answer.
    pub fn is_dry_run(&self, access: &Access) -> Result<bool, HttpError> {
        let is_dry_run = self.flag("dry_run")?;
        if is_dry_run {
            access.dismiss_audit();
        }
        Ok(is_dry_run)
    }

    /// The requested page. A `per_page` over 200 means 200.
    pub fn page(&self) -> Result<PageQuery, HttpError> {
        let page = self.positive("page")?.unwrap_or(1);
        let per_page = self.positive("per_page")?.unwrap_or(PER_PAGE).min(MAX_PER_PAGE);
        Ok(PageQuery { page, per_page })
    }

    fn positive(&self, name: &str) -> Result<Option<u64>, HttpError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<u64>() {
            Ok(number @ 1..=1_000_000_000) => Ok(Some(number)),
            _ => Err(HttpError::bad_request(format!("{name} must be a number of at least 1, not {text:?}"))),
        }
    }

    /// Which log. No type, and pydo's `UNSPECIFIED`, mean the log of running instances.
    pub fn log_kind(&self) -> Result<LogKind, HttpError> {
        match self.get("type").unwrap_or("UNSPECIFIED").to_ascii_uppercase().as_str() {
            "RUN" | "UNSPECIFIED" => Ok(LogKind::Run),
            "BUILD" => Ok(LogKind::Build),
            "DEPLOY" => Ok(LogKind::Deploy),
            "RUN_RESTARTED" => Ok(LogKind::RunRestarted),
            other => {
                Err(HttpError::bad_request(format!("type must be BUILD, DEPLOY, RUN or RUN_RESTARTED, not {other:?}")))
            }
        }
    }

    /// How many of the last lines. doctl sends -1 for all; 0 means none.
    pub fn tail(&self) -> Result<Option<usize>, HttpError> {
        let Some(text) = self.get("tail_lines") else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(lines) => Ok(usize::try_from(lines).ok()),
            Err(_) => Err(HttpError::bad_request(format!("tail_lines must be a number, not {text:?}"))),
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
    fn deployment_types_are_repeated_or_listed_and_must_exist() {
        let types = |pairs: &[(&str, &str)]| params(pairs).deployment_types().map_err(|error| error.message);
        assert_eq!(types(&[]), Ok(vec![]));
        assert_eq!(types(&[("deployment_types", "")]), Ok(vec![]));
        let both = Ok(vec!["MANUAL", "DEPLOY_ON_PUSH"]);
        assert_eq!(types(&[("deployment_types", "MANUAL"), ("deployment_types", "DEPLOY_ON_PUSH")]), both);
        assert_eq!(types(&[("deployment_types", "manual, DEPLOY_ON_PUSH")]), both);
        let refused = types(&[("deployment_types", "MANUAL,NIGHTLY")]).expect_err("no such type");
        assert!(refused.contains("MANUAL, DEPLOY_ON_PUSH") && refused.ends_with("not \"NIGHTLY\""), "{refused}");
    }

    #[test]
    fn links_repeat_the_filters_of_a_list() {
        let filters = params(&[("job_names", "a-b,c"), ("page", "2"), ("deployment_id", "x&page=9")]);
        assert_eq!(
            filters.for_links(&["job_names", "deployment_id"]),
            "&job_names=a-b&job_names=c&deployment_id=x%26page%3D9"
        );
    }

    #[test]
    fn a_list_is_given_by_repetition_or_with_commas() {
        let list = params(&[("job_names", "a"), ("other", "x"), ("job_names", "b, c,"), ("job_names", "")]);
        assert_eq!(list.all("job_names"), ["a", "b", "c"]);
        assert_eq!(list.all("none"), [""; 0]);
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
