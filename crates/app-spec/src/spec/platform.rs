//! Domains and maintenance.

use crate::value::form;
use crate::value::rule::ANY;
use crate::value::{object, words};

object! {
    /// A further host name of the app.
    "a domain" struct Domain labelled domain {
        /// The host name.
        domain: String = ANY.required().of_form(form::domain).like(form::DOMAIN),
        /// At most one is PRIMARY.
        kind as "type": Option<DomainKind> = ANY,
        /// All sub-domains too.
        wildcard: bool = ANY,
        /// A DNS zone that the platform should manage.
        zone: Option<String> = ANY,
        /// `1.2` or `1.3`.
        minimum_tls_version: Option<String> = ANY.of_form(form::tls_version).one_of(&form::TLS_VERSIONS),
        /// A certificate of the account.
        certificate: Option<String> = ANY,
    }
}

words! {
    /// What a domain is for.
    enum DomainKind {
        /// Not said.
        Unspecified = "UNSPECIFIED",
        /// The platform's own.
        Default = "DEFAULT",
        /// The one shown to people, and in `APP_URL`.
        Primary = "PRIMARY",
        /// Another one.
        Alias = "ALIAS",
    }
}

object! {
    /// Maintenance mode.
    "maintenance" struct Maintenance {
        /// Show a page in place of the app.
        enabled: bool = ANY,
        /// Stop the app as well.
        archive: bool = ANY,
        /// A page of one's own.
        offline_page_url: Option<String> = ANY,
    }
}
