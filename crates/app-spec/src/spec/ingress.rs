//! Which component gets which request: ingress rules, and the older routes of components.

use super::opaque::Opaque;
use crate::value::form;
use crate::value::rule::{ANY, PORT, up_to};
use crate::value::{object, words};

object! {
    /// Routing of requests.
    "the ingress" struct Ingress {
        /// The rules; see [`routes`](crate::routes) for their order.
        rules: Vec<IngressRule> = ANY,
        /// The page to show when the app is unreachable.
        custom_error_page_url: Option<String> = ANY.of_form(form::https_url).like(form::HTTPS_URL),
        /// A header that the ingress adds to requests.
        secure_header: Option<SecureHeader> = ANY,
        /// Legacy: the kind of load balancer.
        load_balancer: Opaque = ANY,
        /// Legacy: the size of the load balancer.
        load_balancer_size: Opaque = ANY,
    }
}

object! {
    /// A header by which the app recognizes requests that came through the ingress. A client's value is removed.
    "a secure header" struct SecureHeader {
        /// The name of the header.
        key: String = ANY.required().of_form(form::header_name).like(form::HEADER_NAME),
        /// Its value.
        value: String = ANY.required().private().of_form(form::header_value),
        /// Whether to remove the header from the requests of clients, which the ingress always does.
        remove_header: bool = ANY,
    }
}

object! {
    /// Sends matching requests to a component, or redirects them.
    "an ingress rule" struct IngressRule {
        /// Which requests match. Absent: all.
        on as "match": Option<RouteMatch> = ANY,
        /// The component that serves the requests.
        component: Option<IngressComponent> = ANY,
        /// Where to redirect the client.
        redirect: Option<Redirect> = ANY,
        /// Access from other origins.
        cors: Option<Cors> = ANY,
    }
}

object! {
    /// Which requests a rule is for.
    "a match" struct RouteMatch {
        /// By path.
        path: Option<Match> = ANY,
        /// By host name.
        authority: Option<Match> = ANY,
    }
}

object! {
    /// Text to compare with, in full or as a prefix. Empty text is kept.
    "a path or authority match" struct Match {
        /// The value must begin with this text. Paths match by whole segments.
        prefix: Option<String> = up_to(256).keeps_empty().of_form(form::one_line),
        /// The value must equal this text.
        exact: Option<String> = up_to(256).keeps_empty().of_form(form::one_line),
    }
}

object! {
    /// The component that serves the requests.
    "the component of a rule" struct IngressComponent {
        /// A service, static site or function.
        name: String = ANY.required(),
        /// Forwards the path unchanged. Otherwise the matched prefix is cut off.
        preserve_path_prefix: bool = ANY,
        /// Replaces the matched prefix. Cannot be combined with `preserve_path_prefix`.
        rewrite: Option<String> = ANY.of_form(form::one_line),
    }
}

object! {
    /// Redirects the client.
    "a redirect" struct Redirect {
        /// The new path. Absent: the path stays the same.
        uri: Option<String> = ANY.of_form(form::one_line),
        /// The new host. Absent: the host stays the same.
        authority: Option<String> = ANY.of_form(form::one_line),
        /// The new port.
        port: Option<u16> = PORT,
        /// The new scheme, `https` by default.
        scheme: Option<Scheme> = ANY.or("https"),
        /// 300, 301, 302 (default), 303, 304, 307 or 308.
        redirect_code: Option<u16> = ANY.one_of_numbers(&REDIRECT_CODES).or_number(302),
    }
}

/// The status codes allowed for redirects.
pub(crate) const REDIRECT_CODES: [i64; 7] = [300, 301, 302, 303, 304, 307, 308];

words! {
    /// The scheme of a redirect's target.
    enum Scheme {
        /// Without TLS.
        Http = "http",
        /// With TLS.
        Https = "https",
    }
}

object! {
    /// Access for pages from other origins.
    "a CORS policy" struct Cors {
        /// Allowed origins.
        allow_origins: Vec<StringMatch> = ANY,
        /// Allowed methods.
        allow_methods: Vec<String> = ANY,
        /// Allowed request headers.
        allow_headers: Vec<String> = ANY,
        /// Response headers that pages may read.
        expose_headers: Vec<String> = ANY,
        /// How long a browser may cache the answer: a duration such as `5h30m`.
        max_age: Option<String> = ANY.of_form(form::duration).like(form::DURATION),
        /// Whether requests may carry cookies.
        allow_credentials: bool = ANY,
    }
}

object! {
    /// An origin. Exactly one of the fields is set.
    "an origin" struct StringMatch {
        /// The origin equals this text.
        exact: Option<String> = up_to(256),
        /// Deprecated: the origin begins with this text.
        prefix: Option<String> = up_to(256),
        /// The origin matches this regular expression.
        regex: Option<String> = up_to(256),
    }
}

object! {
    /// A path prefix of one component, the form older than ingress rules.
    "a route" struct Route {
        /// The prefix; `/` when absent.
        path: Option<String> = up_to(256).of_form(form::request_path).like("^/").or("/"),
        /// Forwards the path unchanged. Otherwise the prefix is cut off.
        preserve_path_prefix: bool = ANY,
    }
}

impl RouteMatch {
    /// The host names that the rule matches. `None` means any host. As on the platform, empty text also means any host.
    pub(crate) fn authority(&self) -> Option<&Match> {
        let is_some = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        self.authority.as_ref().filter(|by| is_some(&by.prefix) || is_some(&by.exact))
    }
}

impl Cors {
    /// How long a browser may cache the answer to a preflight request, in seconds.
    pub fn max_age_seconds(&self) -> Option<u64> {
        self.max_age.as_deref().map(form::seconds)
    }
}
