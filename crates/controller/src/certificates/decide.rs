//! Decides which certificate serves a host name, and whether a new one is needed, from where and when.

use std::collections::BTreeSet;
use std::time::Duration;

use rollout::time::Timestamp;
use store::records::{Certificate, CertificateAttempts, CertificateSource};

/// The pause after the first failure. It doubles with each further one, up to [`LONGEST_PAUSE`]: certificate authorities
/// limit failed checks per name and hour.
const FIRST_PAUSE: Duration = Duration::from_secs(5 * 60);
const LONGEST_PAUSE: Duration = Duration::from_secs(12 * 60 * 60);

/// How many certificates are ordered at once. A name that takes long to check then does not keep others waiting.
const ORDERS_AT_ONCE: usize = 4;

/// Suffixes that are reserved for local networks and tests, so that no public authority certifies names below them.
pub(crate) const LOCAL_SUFFIXES: [&str; 6] = ["localhost", "test", "example", "internal", "local", "home.arpa"];

/// Where certificates may come from, besides files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sources<'a> {
    pub acme: bool,
    /// Names whose certificate comes from an earlier local authority, which clients no longer trust.
    pub outdated: &'a [String],
}

/// What to do about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing until then.
    Nothing { until: Option<Timestamp> },
    /// A new certificate from this source, now.
    New(CertificateSource),
    /// A new certificate from this source, but not before this time, because attempts have failed.
    Later(CertificateSource, Timestamp),
    /// No source can give one; the sentence says why and what to do.
    Impossible(String),
}

/// The decision about one host name, which may be `*.example.com`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision<'a> {
    /// The certificate that serves the name. While a renewal fails it stays, even if it has expired.
    pub serves: Option<&'a Certificate>,
    pub need: Need,
}

pub(crate) fn decide<'a>(
    name: &str,
    certificates: &'a [Certificate],
    sources: Sources<'_>,
    attempts: Option<&CertificateAttempts>,
    now: Timestamp,
) -> Decision<'a> {
    let covering = || certificates.iter().filter(|it| covers(it, name));
    let is_valid = |it: &&Certificate| it.not_before <= now && now < it.not_after;
    let serves =
        covering().filter(is_valid).min_by_key(|it| it.source).or_else(|| covering().max_by_key(|it| it.not_after));
    let own = covering().filter(is_valid).find(|it| it.source == CertificateSource::OwnFiles);
    if let Some(own) = own {
        return Decision { serves, need: Need::Nothing { until: Some(own.not_after) } };
    }
    let source = match source_for(name, sources) {
        Ok(source) => source,
        Err(reason) => return Decision { serves, need: Need::Impossible(reason) },
    };
    let is_outdated =
        |it: &Certificate| source == CertificateSource::LocalAuthority && sources.outdated.contains(&it.name);
    let of_source = covering().filter(is_valid).filter(|it| it.source == source && !is_outdated(it));
    let current = of_source.max_by_key(|it| it.not_after);
    let due = current.map(renew_at).filter(|due| now < *due);
    let need = match (due, attempts.map(next_attempt)) {
        (Some(due), _) => Need::Nothing { until: Some(due) },
        (None, Some(next)) if now < next => Need::Later(source, next),
        (None, _) => Need::New(source),
    };
    Decision { serves, need }
}

/// The names for which an order begins now. `waiting`: names that need one, with the number of attempts that failed: names
/// without failures come first. `running`: names that have one.
pub(crate) fn next_orders(mut waiting: Vec<(u32, String)>, running: &BTreeSet<String>) -> Vec<String> {
    waiting.retain(|(_, name)| !running.contains(name));
    waiting.sort();
    waiting.into_iter().map(|(_, name)| name).take(ORDERS_AT_ONCE.saturating_sub(running.len())).collect()
}

/// Two thirds of the certificate's life.
pub(crate) fn renew_at(certificate: &Certificate) -> Timestamp {
    certificate.not_before.plus(certificate.not_after.since(certificate.not_before) / 3 * 2)
}

/// When the next attempt may begin. If the first one was interrupted, the next one follows at once; further ones wait, so that
/// a process that is killed again and again does not exceed the limits of an authority.
pub(crate) fn next_attempt(attempts: &CertificateAttempts) -> Timestamp {
    if attempts.count <= 1 && !attempts.ended {
        return attempts.last;
    }
    let doublings = attempts.count.saturating_sub(1).min(16);
    attempts.last.plus(FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE))
}

/// Whether a certificate is valid for a name. Only a wildcard covers a wildcard.
pub(crate) fn covers(certificate: &Certificate, name: &str) -> bool {
    let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    certificate.names.iter().any(|it| it == name || Some(it) == wildcard.as_ref())
}

/// Whether this is a host name, or `*.` before one, in lower case.
pub(crate) fn is_host_name(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-' || it == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && name.contains('.') && name.split('.').all(is_label)
}

/// Whether the name is below a suffix that is reserved for local use.
pub(crate) fn is_local(name: &str) -> bool {
    let is_below = |suffix: &str| name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
    LOCAL_SUFFIXES.into_iter().any(is_below)
}

fn source_for(name: &str, sources: Sources<'_>) -> Result<CertificateSource, String> {
    let own_files = format!("add one of your own: boatyard certificates add {name} --cert FILE --key FILE");
    match name.strip_prefix("*.") {
        // With an ACME server for a local network, local names are also its business.
        None if sources.acme && !name.ends_with(".localhost") => Ok(CertificateSource::Acme),
        _ if is_local(name) => Ok(CertificateSource::LocalAuthority),
        Some(_) => Err(format!(
            "no source has a certificate for {name}: authorities check such names by DNS records, which Boatyard does not \
             change; {own_files}"
        )),
        None => Err(format!(
            "no source has a certificate for {name}: {own_files}. Or start serve with --acme-email to get one from Let's \
             Encrypt"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CertificateSource::{Acme, LocalAuthority, OwnFiles};

    const HOUR: u64 = 60 * 60 * 1000;
    const NOW: Timestamp = Timestamp(1000 * HOUR);
    const ACME: Sources<'_> = Sources { acme: true, outdated: &[] };
    const NONE: Sources<'_> = Sources { acme: false, outdated: &[] };

    fn attempts(count: u32, last: Timestamp, ended: bool) -> CertificateAttempts {
        let name = "a.example.com".to_owned();
        CertificateAttempts { name, count, last, ended, error: None, order: None }
    }

    /// Valid from and until hours relative to now.
    fn certificate(source: CertificateSource, names: &[&str], from: i64, until: i64) -> Certificate {
        let at = |hours: i64| Timestamp(NOW.0.checked_add_signed(hours * HOUR as i64).expect("a time"));
        Certificate {
            name: names[0].to_owned(),
            source,
            names: names.iter().map(|it| (*it).to_owned()).collect(),
            chain: String::new(),
            key: String::new(),
            not_before: at(from),
            not_after: at(until),
            added: at(from),
        }
    }

    #[test]
    fn a_name_without_a_certificate_gets_one_from_the_first_source_that_can_give_one() {
        let table = [
            ("shop.example.com", ACME, Ok(Acme)),
            ("shop.example.com", NONE, Err("--acme-email")),
            ("*.example.com", ACME, Err("certificates add *.example.com")),
            ("shop.localhost", ACME, Ok(LocalAuthority)),
            ("shop.localhost", NONE, Ok(LocalAuthority)),
            ("shop.test", ACME, Ok(Acme)),
            ("shop.test", NONE, Ok(LocalAuthority)),
            ("*.shop.test", ACME, Ok(LocalAuthority)),
            ("shoptest", NONE, Err("--acme-email")),
        ];
        for (name, sources, wanted) in table {
            let Decision { serves, need } = decide(name, &[], sources, None, NOW);
            assert_eq!(serves, None);
            match (need, wanted) {
                (Need::New(source), Ok(wanted)) => assert_eq!(source, wanted, "{name}"),
                (Need::Impossible(reason), Err(part)) => assert!(reason.contains(part), "{name}: {reason}"),
                (need, wanted) => panic!("{name}: {need:?}, not {wanted:?}"),
            }
        }
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_and_serves_until_then_and_beyond() {
        // Hours since it began and until it ends; whether a new one is needed.
        for (from, until, is_due) in
            [(-59, 31, false), (-60, 30, true), (-89, 1, true), (-90, 0, true), (-100, -10, true)]
        {
            let held = [certificate(Acme, &["a.example.com"], from, until)];
            let decision = decide("a.example.com", &held, ACME, None, NOW);
            assert_eq!(decision.serves, Some(&held[0]), "{from} {until}");
            assert_eq!(decision.need == Need::New(Acme), is_due, "{from} {until}");
        }
    }

    #[test]
    fn files_of_the_operator_come_first_until_they_expire() {
        let acme = certificate(Acme, &["a.example.com"], -1, 89);
        let own = certificate(OwnFiles, &["a.example.com", "*.example.com"], -80, 10);
        let held = [acme.clone(), own.clone()];
        for name in ["a.example.com", "b.example.com", "*.example.com"] {
            let decision = decide(name, &held, ACME, None, NOW);
            let until = Some(own.not_after);
            assert_eq!(decision, Decision { serves: Some(&own), need: Need::Nothing { until } }, "{name}");
        }
        let expired = [certificate(OwnFiles, &["a.example.com"], -80, -1), acme.clone()];
        assert_eq!(decide("a.example.com", &expired, ACME, None, NOW).serves, Some(&acme));
        let only = [certificate(OwnFiles, &["a.example.com"], -80, -1)];
        let decision = decide("a.example.com", &only, ACME, None, NOW);
        assert_eq!(decision, Decision { serves: Some(&only[0]), need: Need::New(Acme) });
        let future = [certificate(OwnFiles, &["a.example.com"], 1, 80)];
        assert_eq!(decide("a.example.com", &future, ACME, None, NOW).need, Need::New(Acme));
    }

    #[test]
    fn the_local_authority_serves_until_another_source_has_a_certificate() {
        let held = [certificate(LocalAuthority, &["shop.test"], -1, 80)];
        let decision = decide("shop.test", &held, ACME, None, NOW);
        assert_eq!(decision, Decision { serves: Some(&held[0]), need: Need::New(Acme) });
        let both = [held[0].clone(), certificate(Acme, &["shop.test"], -1, 5)];
        assert_eq!(decide("shop.test", &both, ACME, None, NOW).serves, Some(&both[1]));
    }

    #[test]
    fn a_certificate_of_an_earlier_local_authority_is_replaced_and_serves_until_then() {
        let held = [certificate(LocalAuthority, &["shop.test"], -1, 80)];
        let outdated = ["shop.test".to_owned()];
        let decision = decide("shop.test", &held, Sources { outdated: &outdated, ..NONE }, None, NOW);
        assert_eq!(decision, Decision { serves: Some(&held[0]), need: Need::New(LocalAuthority) });
        let until = Some(renew_at(&held[0]));
        assert_eq!(decide("shop.test", &held, NONE, None, NOW).need, Need::Nothing { until });
    }

    #[test]
    fn after_failures_the_pauses_double_up_to_half_a_day() {
        let minutes = |ended: bool| move |count| next_attempt(&attempts(count, NOW, ended)).since(NOW).as_secs() / 60;
        assert_eq!([1, 2, 3, 4, 8, 9, 100].map(minutes(true)), [5, 10, 20, 40, 640, 720, 720]);
        assert_eq!([1, 2, 3].map(minutes(false)), [0, 10, 20], "the first attempt was interrupted");
        let failures = attempts(1, Timestamp(NOW.0 - 60_000), true);
        let held = [certificate(Acme, &["a.example.com"], -80, 10)];
        let decision = decide("a.example.com", &held, ACME, Some(&failures), NOW);
        let later = Timestamp(NOW.0 + 4 * 60_000);
        assert_eq!(decision, Decision { serves: Some(&held[0]), need: Need::Later(Acme, later) });
        let decision = decide("a.example.com", &held, ACME, Some(&failures), later);
        assert_eq!(decision.need, Need::New(Acme));
    }

    #[test]
    fn some_names_are_ordered_at_once_and_those_that_failed_come_last() {
        let next = |waiting: &[(u32, &str)], running: &[&str]| {
            let running = running.iter().map(|it| (*it).to_owned()).collect();
            next_orders(waiting.iter().map(|(failed, name)| (*failed, (*name).to_owned())).collect(), &running)
                .join(" ")
        };
        let waiting = [(3, "a"), (0, "f"), (0, "e"), (1, "b"), (0, "d"), (0, "c")];
        assert_eq!(next(&waiting, &[]), "c d e f");
        assert_eq!(next(&waiting, &["c", "d"]), "e f");
        assert_eq!(next(&waiting, &["slow"]), "c d e");
        assert_eq!(next(&waiting, &["p", "q", "r", "s"]), "");
        assert_eq!(next(&waiting[..1], &["slow"]), "a");
    }

    #[test]
    fn host_names_have_labels_of_letters_digits_and_hyphens() {
        for good in ["a.b", "shop.example.com", "*.example.com", "xn--bcher-kva.example"] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in ["", "shop", "*.", "*.com.", "a..b", "-a.b", "a.*.b", "A.b", "a/b.c", "https://a.b"] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }

    #[test]
    fn a_wildcard_covers_one_level_only() {
        let held = certificate(OwnFiles, &["*.example.com"], -1, 1);
        let table =
            [("a.example.com", true), ("*.example.com", true), ("example.com", false), ("a.b.example.com", false)];
        for (name, wanted) in table {
            assert_eq!(covers(&held, name), wanted, "{name}");
        }
        assert!(!covers(&certificate(OwnFiles, &["a.example.com"], -1, 1), "*.example.com"));
    }
}
