//! The spec of an app with one service, built from a repository.

use std::num::NonZeroU16;

use app_spec::{AppSpec, Common, GitSource, Service, Source};
use maud::{Markup, html};

use crate::request::Fields;
use crate::ui::form::{Field, Input};

/// Why a field was refused: its name, and a sentence.
pub(super) type Refusal = (&'static str, String);

/// The fields of the form. Only the address is required.
pub(super) fn fields(fields: &Fields, refusal: Option<&Refusal>) -> Markup {
    let value = |name| fields.get(name).unwrap_or_default();
    let error = |name| refusal.filter(|it| it.0 == name).map_or("", |it| it.1.as_str());
    let is_open = ["branch", "dockerfile", "port", "name"].iter().any(|it| fields.get(it).is_some());
    html! {
        (Field {
            name: "address", label: "Repository", hint: "https://github.com/owner/name", error: error("address"), value: value("address"),
            required: true, ..Field::default()
        }.markup())
        details open[is_open] {
            summary { "Branch, Dockerfile, port, name" }
            (Field { name: "branch", label: "Branch", hint: "Empty: the default branch.", value: value("branch"), ..Field::default() }.markup())
            (Field {
                name: "dockerfile", label: "Path of the Dockerfile",
                hint: "Empty: Dockerfile in the repository's root, or one that is generated for the detected language.",
                value: value("dockerfile"), ..Field::default()
            }.markup())
            (Field {
                name: "port", label: "Port", hint: "The port that the process listens on. Empty: 8080.", value: value("port"),
                error: error("port"), input: Input::Number, ..Field::default()
            }.markup())
            (Field { name: "name", label: "Name of the app", hint: "Empty: the name of the repository.", value: value("name"), ..Field::default() }.markup())
        }
    }
}

/// The spec as YAML. Errors: the address is missing, or the port is not a number. Everything else is checked with the spec.
pub(super) fn spec(fields: &Fields) -> Result<String, Refusal> {
    let address = fields.get("address").map(|it| it.trim().trim_end_matches('/')).filter(|it| !it.is_empty());
    let address = address.ok_or_else(|| ("address", "Paste the address of a repository.".to_owned()))?;
    let port = fields.get("port").map(|it| it.trim().parse::<NonZeroU16>().map_err(|_| it)).transpose();
    let port = port.map_err(|it| ("port", format!("{it:?} is not a port. It is a number from 1 to 65535.")))?;
    let given = |name: &str| fields.get(name).map(|it| it.trim().to_owned());
    let common = Common {
        name: "web".into(),
        source: Source::Git(GitSource {
            repo_clone_url: address.to_owned(),
            branch: given("branch"),
            ..GitSource::default()
        }),
        dockerfile_path: given("dockerfile"),
        ..Common::default()
    };
    let service = Service { common, http_port: Some(port.map_or(8080, NonZeroU16::get)), ..Service::default() };
    let name = given("name").unwrap_or_else(|| app_name(address));
    let spec = AppSpec { name, services: vec![service], ..AppSpec::default() };
    Ok(spec.to_yaml(&|_, _| String::new()))
}

/// The last part of the address, as the name of an app: `https://example.com/acme/My_Shop.git` becomes `my-shop`.
fn app_name(address: &str) -> String {
    let last = address.rsplit(['/', ':']).next().unwrap_or_default();
    let name = app_spec::nearest_name(last.strip_suffix(".git").unwrap_or(last));
    if name.len() < 2 { "app".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_app_is_that_of_the_repository_as_far_as_it_can_be() {
        let cases = [
            ("https://example.com/acme/My_Shop.git", "my-shop"),
            ("git@example.com:shop", "shop"),
            ("https://example.com/acme/2048", "app"),
            ("https://example.com/acme/x", "app"),
            ("https://example.com/acme/a-very-long-name-of-a-repository-for-tests", "a-very-long-name-of-a-repository"),
            ("https://example.com/acme/l.den", "l-den"),
        ];
        for (address, name) in cases {
            assert_eq!(app_name(address), name);
            assert!(
                AppSpec::from_yaml(&spec(&Fields::of(&format!("address={address}"))).expect("a spec")).is_ok(),
                "{name}"
            );
        }
    }

    #[test]
    fn a_repository_becomes_a_spec_with_defaults_or_with_what_was_given() {
        let read =
            |query: &str| AppSpec::from_yaml(&spec(&Fields::of(query)).expect("a spec")).expect("it is valid").spec;
        let plain = read("address=https://example.com/shop/");
        let service = &plain.services[0];
        assert_eq!(service.common.source.repository(), Some(("https://example.com/shop".into(), None)));
        assert_eq!((service.http_port, service.common.dockerfile_path.as_deref()), (Some(8080), None));
        let other = read("address=https://example.com/shop&branch=on&dockerfile=a/B&port=3000&name=other");
        let service = &other.services[0];
        assert_eq!(service.common.source.repository(), Some(("https://example.com/shop".into(), Some("on"))));
        assert_eq!((service.http_port, service.common.dockerfile_path.as_deref()), (Some(3000), Some("a/B")));
        assert_eq!(other.name, "other");
    }

    #[test]
    fn a_missing_address_and_a_wrong_port_are_refused() {
        for (query, field) in [
            ("address=+&port=80", "address"),
            ("address=https://example.com/shop&port=70000", "port"),
            ("address=https://example.com/shop&port=0", "port"),
            ("", "address"),
        ] {
            let refusal = spec(&Fields::of(query)).expect_err("refused");
            assert_eq!(refusal.0, field, "{query}");
            assert!(super::fields(&Fields::of(query), Some(&refusal)).into_string().contains("class=\"error\""));
        }
    }
}
