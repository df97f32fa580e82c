//! Which versions of a static site's files serve: those of the deployment whose routing rules are in force, and earlier
//! ones, because a page that a browser still shows may refer to them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::ComponentName;
use crate::time::Timestamp;

/// How many earlier versions serve.
pub const EARLIER_VERSIONS: usize = 3;
/// How long an earlier version serves: a day, because people keep pages open that long.
pub const EARLIER_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The files of a static site that served before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierFiles {
    /// The id of the stored files.
    pub id: String,
    /// When they are no longer needed.
    pub until: Timestamp,
}

/// The earlier versions of each site, newest first.
pub type EarlierBySite = BTreeMap<ComponentName, Vec<EarlierFiles>>;

/// The earlier versions once a deployment has become active. `replaced`: the files that served until now, by site. `new`:
/// those of the deployment.
pub fn after_success(
    earlier: &EarlierBySite,
    replaced: &BTreeMap<ComponentName, String>,
    new: &BTreeMap<ComponentName, String>,
    now: Timestamp,
) -> EarlierBySite {
    let mut next = without_expired(earlier, now);
    for (site, id) in replaced {
        let versions = next.entry(site.clone()).or_default();
        if new.get(site) != Some(id) {
            versions.retain(|it| it.id != *id);
            versions.insert(0, EarlierFiles { id: id.clone(), until: now.plus(EARLIER_FOR) });
        }
    }
    for (site, versions) in &mut next {
        // After a rollback, an earlier version serves again.
        versions.retain(|it| new.get(site) != Some(&it.id));
        versions.truncate(EARLIER_VERSIONS);
    }
    next.retain(|_, versions| !versions.is_empty());
    next
}

/// The earlier versions that are still needed.
pub fn without_expired(earlier: &EarlierBySite, now: Timestamp) -> EarlierBySite {
    let needed =
        |versions: &Vec<EarlierFiles>| -> Vec<_> { versions.iter().filter(|it| now < it.until).cloned().collect() };
    let sites = earlier.iter().map(|(site, versions)| (site.clone(), needed(versions)));
    sites.filter(|(_, versions)| !versions.is_empty()).collect()
}

/// The ids of the files that serve, in the order in which a file is looked up. `current`: those of the deployment whose
/// rules are in force. `active`: those of the active deployment, which differ while a deployment rolls out.
pub fn serving<'a>(
    current: &'a str,
    active: Option<&'a str>,
    earlier: &'a [EarlierFiles],
    now: Timestamp,
) -> Vec<&'a str> {
    let earlier = earlier.iter().filter(|it| now < it.until).map(|it| it.id.as_str());
    let mut ids = Vec::new();
    for id in std::iter::once(current).chain(active).chain(earlier) {
        if !ids.contains(&id) && ids.len() <= EARLIER_VERSIONS {
            ids.push(id);
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60 * 1000;

    fn ids(pairs: &[(&str, &str)]) -> BTreeMap<ComponentName, String> {
        pairs.iter().map(|(site, id)| ((*site).into(), (*id).to_owned())).collect()
    }

    fn shown(earlier: &EarlierBySite) -> Vec<String> {
        let line = |(site, versions): (&ComponentName, &Vec<EarlierFiles>)| {
            let versions: Vec<_> = versions.iter().map(|it| format!("{}@{}", it.id, it.until.0 / DAY)).collect();
            format!("{site}: {}", versions.join(" "))
        };
        earlier.iter().map(line).collect()
    }

    #[test]
    fn the_last_three_versions_stay_for_a_day() {
        let mut earlier = EarlierBySite::new();
        for number in 1..=5_u64 {
            let (old, new) = (format!("v{number}"), format!("v{}", number + 1));
            earlier = after_success(&earlier, &ids(&[("web", &old)]), &ids(&[("web", &new)]), Timestamp(number));
        }
        assert_eq!(shown(&earlier), ["web: v5@1 v4@1 v3@1"]);
        let next = after_success(&earlier, &ids(&[("web", "v6")]), &ids(&[("web", "v7")]), Timestamp(DAY + 4));
        assert_eq!(shown(&next), ["web: v6@2 v5@1"], "the others are over");
        assert_eq!(shown(&without_expired(&next, Timestamp(3 * DAY))), Vec::<String>::new());
    }

    #[test]
    fn what_serves_again_after_a_rollback_is_not_an_earlier_version() {
        let first = after_success(&EarlierBySite::new(), &ids(&[("web", "a")]), &ids(&[("web", "b")]), Timestamp(0));
        let back = after_success(&first, &ids(&[("web", "b")]), &ids(&[("web", "a")]), Timestamp(0));
        assert_eq!(shown(&back), ["web: b@1"]);
    }

    #[test]
    fn an_unchanged_site_and_a_restart_leave_the_earlier_versions_alone() {
        let first = after_success(&EarlierBySite::new(), &ids(&[("web", "a")]), &ids(&[("web", "b")]), Timestamp(0));
        let same = after_success(&first, &ids(&[("web", "b")]), &ids(&[("web", "b")]), Timestamp(5));
        assert_eq!(same, first);
    }

    #[test]
    fn a_file_is_looked_up_in_the_current_version_first() {
        let earlier = [("b", 10), ("a", 5), ("z", 3), ("y", 2)];
        let earlier = earlier.map(|(id, until)| EarlierFiles { id: id.into(), until: Timestamp(until) });
        assert_eq!(serving("c", None, &earlier, Timestamp(0)), ["c", "b", "a", "z"]);
        assert_eq!(serving("d", Some("c"), &earlier, Timestamp(0)), ["d", "c", "b", "a"], "while d rolls out");
        assert_eq!(serving("c", Some("c"), &earlier, Timestamp(4)), ["c", "b", "a"]);
        assert_eq!(serving("b", None, &earlier, Timestamp(10)), ["b"]);
    }
}
