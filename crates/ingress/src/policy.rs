//! What holds for all requests to an app: maintenance, its own error page, and a header that the ingress adds.

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};

use crate::protocol::{AppPolicy, Maintenance};

/// A policy in the form in which it is used for each request.
#[derive(Debug, Default)]
pub(crate) struct CompiledPolicy {
    pub maintenance: Option<Maintenance>,
    /// Shown to browsers if the app cannot be reached.
    pub error_page: Option<Arc<str>>,
    /// Added to requests, in place of the client's.
    pub request_header: Option<(HeaderName, HeaderValue)>,
}

impl CompiledPolicy {
    /// Returns the usable part, and a sentence about a part that cannot be used.
    pub fn compile(policy: &AppPolicy) -> (Self, Option<String>) {
        let header = policy.request_header.as_ref().map(|it| {
            let name = HeaderName::try_from(&it.name).map_err(|_| format!("{:?} is not a header name", it.name))?;
            let mut value = HeaderValue::try_from(&it.value).map_err(|_| format!("{name} has no usable value"))?;
            value.set_sensitive(true);
            Ok::<_, String>((name, value))
        });
        let (request_header, refused) = match header.transpose() {
            Ok(header) => (header, None),
            Err(reason) => (None, Some(reason)),
        };
        let policy = CompiledPolicy {
            maintenance: policy.maintenance.clone(),
            error_page: policy.error_page.as_deref().map(Arc::from),
            request_header,
        };
        (policy, refused)
    }
}
