//! The host names that an app's domains stand for.

use crate::spec::{AppSpec, Domain, DomainKind};

impl Domain {
    /// The host name in lower case, without a final dot.
    pub fn host_name(&self) -> String {
        self.domain.strip_suffix('.').unwrap_or(&self.domain).to_ascii_lowercase()
    }

    /// The host name, and `*.` before it if the domain is a wildcard, which stands for all names one level below.
    pub fn host_names(&self) -> Vec<String> {
        let name = self.host_name();
        let below = self.wildcard.then(|| format!("*.{name}"));
        [name].into_iter().chain(below).collect()
    }
}

impl AppSpec {
    /// The host name of the PRIMARY domain.
    pub fn primary_domain(&self) -> Option<String> {
        self.domains.iter().find(|it| it.kind == Some(DomainKind::Primary)).map(Domain::host_name)
    }
}

/// Whether two host names, of which either may be a wildcard, have a name in common.
pub fn host_names_overlap(one: &str, other: &str) -> bool {
    let covers = |wildcard: &str, name: &str| {
        let parent = wildcard.strip_prefix("*.");
        parent.is_some_and(|parent| name.split_once('.').is_some_and(|(_, rest)| rest == parent))
    };
    one == other || covers(one, other) || covers(other, one)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_domain_is_compared_in_lower_case_and_a_wildcard_stands_for_the_names_below() {
        let text = "name: shop\ndomains:\n- domain: Shop.Example.com.\n  wildcard: true\n- {domain: b.example, type: PRIMARY}\n";
        let spec = AppSpec::from_yaml(text).unwrap().spec;
        assert_eq!(spec.domains[0].host_names(), ["shop.example.com", "*.shop.example.com"]);
        assert_eq!(spec.domains[1].host_names(), ["b.example"]);
        assert_eq!(spec.primary_domain().as_deref(), Some("b.example"));
    }

    #[test]
    fn names_overlap_if_they_are_equal_or_one_is_a_wildcard_for_the_others_level() {
        let table = [
            ("a.example", "a.example", true),
            ("a.example", "b.example", false),
            ("*.example", "a.example", true),
            ("*.example", "example", false),
            ("*.example", "a.b.example", false),
            ("*.example", "*.example", true),
            ("*.a.example", "*.example", false),
            ("*.a.example", "*.b.example", false),
        ];
        for (one, other, wanted) in table {
            assert_eq!(host_names_overlap(one, other), wanted, "{one} {other}");
            assert_eq!(host_names_overlap(other, one), wanted, "{other} {one}");
        }
    }
}
