//! Who gets which request: ingress rules, and the older routes of components.

use super::opaque::Opaque;
use crate::value::form;
use crate::value::object;
use crate::value::rule::{ANY, PORT, up_to};

object! {
    /// Routing of requests.
    "ingress" struct Ingress {
        /// The rules; see [`routes`](crate::routes) for their order.
        rules: Vec<IngressRule> = ANY,
        /// Shown when the app cannot be reached.
        custom_error_page_url: Option<String> = ANY.of_form(form::https_url).like(form::HTTPS_URL),
        /// A header that the platform adds to requests.
        secure_header: Opaque = ANY,
        /// Old; today.
        load_balancer: Opaque = ANY,
        /// Old; today.
        load_balancer_size: Opaque = ANY,
    }
}

object! {
    /// Requests that match go to a component or are redirected.
    "an ingress rule" struct IngressRule {
        /// Which requests; absent: all.
        on as "match": Option<RouteMatch> = ANY,
        /// Who answers.
        component: Option<IngressComponent> = ANY,
        /// Where else the client is sent.
        redirect: Option<Redirect> = ANY,
        /// What other origins may do.
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
    /// A text that must be equal, or begin in the same way. Empty text is kept.
    "a match of path or authority" struct Match {
        /// Must begin with it; for paths by whole segments.
        prefix: Option<String> = up_to(256).keeps_empty().of_form(form::one_line),
        /// Must be equal.
        exact: Option<String> = up_to(256).keeps_empty().of_form(form::one_line),
    }
}

object! {
    /// The component that answers.
    "the component of a rule" struct IngressComponent {
        /// A service, static site or function.
        name: String = ANY.required(),
        /// Send the path through unchanged; otherwise the matched prefix is cut off.
        preserve_path_prefix: bool = ANY,
        /// Replaces the matched prefix. Excludes `preserve_path_prefix`.
        rewrite: Option<String> = ANY.of_form(form::one_line),
    }
}

object! {
    /// Sends the client elsewhere.
    "a redirect" struct Redirect {
        /// Replaces the whole path; absent: the path is kept.
        uri: Option<String> = ANY.of_form(form::one_line),
        /// Another host; absent: the same.
        authority: Option<String> = ANY.of_form(form::one_line),
        /// Another port.
        port: Option<u16> = PORT,
        /// `https` by default.
        scheme: Option<Scheme> = ANY.or("https"),
        /// 300, 301, 302 (default), 303, 304, 307 or 308.
        redirect_code: Option<u16> = ANY.one_of_numbers(&REDIRECT_CODES).or_number(302),
    }
}

/// Codes that send a client elsewhere.
pub(crate) const REDIRECT_CODES: [i64; 7] = [300, 301, 302, 303, 304, 307, 308];

/// `http` or `https`, written in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

object! {
    /// What pages of other origins may do.
    "a CORS policy" struct Cors {
        /// Origins that are echoed.
        allow_origins: Vec<StringMatch> = ANY,
        /// Methods allowed.
        allow_methods: Vec<String> = ANY,
        /// Headers allowed in requests.
        allow_headers: Vec<String> = ANY,
        /// Headers shown to pages.
        expose_headers: Vec<String> = ANY,
        /// How long an answer may be remembered: a duration such as `5h30m`.
        max_age: Option<String> = ANY.of_form(form::duration).like(form::DURATION),
        /// Whether cookies may be sent.
        allow_credentials: bool = ANY,
    }
}

object! {
    /// An origin: one of the three.
    "an origin" struct StringMatch {
        /// Equal to it.
        exact: Option<String> = up_to(256),
        /// Deprecated: begins with it.
        prefix: Option<String> = up_to(256),
        /// Matched by a regular expression.
        regex: Option<String> = up_to(256),
    }
}

object! {
    /// A path prefix of one component: the form older than ingress rules.
    "a route" struct Route {
        /// The prefix; `/` when absent.
        path: Option<String> = up_to(256).of_form(form::request_path).like("^/").or("/"),
        /// Send the path through unchanged; otherwise the prefix is cut off.
        preserve_path_prefix: bool = ANY,
    }
}

impl RouteMatch {
    /// The host names that the rule is for. `None`: any. An empty text is any host, as on the platform.
    pub(crate) fn authority(&self) -> Option<&Match> {
        let is_some = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        self.authority.as_ref().filter(|by| is_some(&by.prefix) || is_some(&by.exact))
    }
}

impl Scheme {
    /// Every word.
    pub const WORDS: &'static [&'static str] = &["http", "https"];

    /// The word as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    fn from_word(word: &str) -> Option<Scheme> {
        match word.to_ascii_lowercase().as_str() {
            "http" => Some(Scheme::Http),
            "https" => Some(Scheme::Https),
            _ => None,
        }
    }
}

impl crate::value::SpecValue for Scheme {
    fn shape() -> crate::value::Shape {
        crate::value::Shape::Word(Scheme::WORDS)
    }

    fn read(node: &crate::tree::Node, _: &crate::value::Rule, reader: &mut crate::value::Reader) -> Option<Scheme> {
        reader.word(node, Scheme::WORDS, Scheme::from_word)
    }

    fn write(&self, _: &mut crate::value::Writer<'_>) -> Option<crate::tree::Node> {
        Some(crate::tree::Node::text(self.as_str()))
    }
}
