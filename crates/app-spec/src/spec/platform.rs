//! Domains and maintenance.

use crate::value::form;
use crate::value::rule::ANY;
use crate::value::{object, words};

object! {
    /// An additional host name of the app.
    "a domain" struct Domain labelled "domain" domain {
        /// The host name.
        domain: String = ANY.required().of_form(form::domain).like(form::DOMAIN),
        /// What the domain is for. At most one domain is PRIMARY.
        kind as "type": Option<DomainKind> = ANY,
        /// Whether all subdomains are included.
        wildcard: bool = ANY,
        /// A DNS zone for the platform to manage.
        zone: Option<String> = ANY,
        /// The oldest TLS version to accept: `1.2` or `1.3`.
        minimum_tls_version: Option<String> = ANY.of_form(form::tls_version).one_of(&form::TLS_VERSIONS),
        /// The id of a certificate of the account.
        certificate: Option<String> = ANY,
    }
}

words! {
    /// What a domain is for.
    enum DomainKind {
        /// Not given.
        Unspecified = "UNSPECIFIED",
        /// The host name that the platform assigns.
        Default = "DEFAULT",
        /// The main host name, shown to people and used in `APP_URL`.
        Primary = "PRIMARY",
        /// An additional host name.
        Alias = "ALIAS",
    }
}

object! {
    /// Maintenance mode.
    "maintenance" struct Maintenance {
        /// Whether to show a page instead of the app.
        enabled: bool = ANY,
        /// Whether to stop the app too.
        archive: bool = ANY,
        /// The URL of a custom page.
        offline_page_url: Option<String> = ANY,
    }
}
