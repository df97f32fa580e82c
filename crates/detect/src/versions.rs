//! Chooses the version of a base image from what a source asks for, for example `^20.11 || >=22`.

use std::fmt;

use crate::bases::Base;
use crate::languages::Finding;
use crate::undetected::Undetected;

/// What a source asks for, and where.
#[derive(Debug, Clone)]
pub(crate) struct Wish<'a> {
    /// For people, for example `engines.node in package.json`.
    pub place: &'a str,
    /// A range in the notation of npm, Composer, pip or Bundler.
    pub range: &'a str,
}

/// The chosen version, and the reason for the build log.
#[derive(Debug)]
pub(crate) struct Choice {
    pub version: &'static str,
    pub finding: Finding,
}

/// The default version if it satisfies all wishes, else the highest that does. So a wide range such as `>=16` does not
/// move a project to a release that its dependencies may not know yet. Errors: [`Undetected::Version`].
pub(crate) fn choose(base: &Base, wishes: &[Wish<'_>]) -> Result<Choice, Undetected> {
    let ranges: Vec<_> = wishes.iter().map(|wish| Range::parse(wish.range)).collect();
    let satisfies = |version: &str| ranges.iter().all(|range| range.as_ref().is_some_and(|it| it.overlaps(version)));
    let candidates = std::iter::once(&base.default).chain(base.versions);
    let Some(version) = candidates.into_iter().find(|version| satisfies(version)) else {
        let join = |of: fn(&Wish<'_>) -> String| wishes.iter().map(of).collect::<Vec<_>>().join(" and ");
        return Err(Undetected::Version {
            file: join(|wish| wish.place.into()),
            wanted: format!("{} {}", base.title, join(|wish| wish.range.into())),
            available: base.versions.join(", "),
        });
    };
    let because = wishes.first().map_or_else(|| "the default".into(), ToString::to_string);
    Ok(Choice { version, finding: Finding::new(format!("{} {version}", base.title), because) })
}

type Version = [u32; 3];

/// Versions from `from` up to, but not including, `below`.
#[derive(Debug, Clone, Copy)]
struct Interval {
    from: Version,
    below: Version,
}

const ALL: Interval = Interval { from: [0; 3], below: [u32::MAX; 3] };

impl Interval {
    fn and(self, other: Self) -> Self {
        Self { from: self.from.max(other.from), below: self.below.min(other.below) }
    }
}

/// A union of intervals.
#[derive(Debug)]
struct Range(Vec<Interval>);

impl Range {
    /// Reads a range. A tilde is npm's (`~1.2` is 1.2.x); `~>` and `~=` are those of Bundler and pip (`~>1.2` is 1.x from
    /// 1.2 on). `None`: the text is no range.
    fn parse(text: &str) -> Option<Self> {
        text.replace("||", "|").split('|').map(intersection).collect::<Option<_>>().map(Self)
    }

    /// Whether some release of this version, for example `22` or `8.3`, is in the range.
    fn overlaps(&self, version: &str) -> bool {
        let Some(partial) = Partial::parse(version) else { return false };
        let line = partial.line();
        self.0.iter().map(|it| it.and(line)).any(|both| both.from < both.below)
    }
}

/// Reads comparators that all have to hold, for example `>=18 <21` or `18 - 20`.
fn intersection(text: &str) -> Option<Interval> {
    if let Some((from, to)) = text.split_once(" - ") {
        return Some(comparator(&format!(">={}", from.trim()))?.and(comparator(&format!("<={}", to.trim()))?));
    }
    let mut all = ALL;
    let mut operator = String::new();
    for word in text.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
        operator.push_str(word);
        // A space may follow an operator.
        if !word.ends_with(['<', '>', '=', '~', '^']) {
            all = all.and(comparator(&operator)?);
            operator.clear();
        }
    }
    operator.is_empty().then_some(all)
}

fn comparator(text: &str) -> Option<Interval> {
    let at = text.find(|c: char| !"<>=~^!".contains(c)).unwrap_or(text.len());
    let (operator, version) = text.split_at(at);
    let it = Partial::parse(version)?;
    let (from, after) = (it.lowest(), it.line().below);
    Some(match operator {
        "" | "=" | "==" | "===" => it.line(),
        "^" => Interval { from, below: it.bump(it.first_nonzero()) },
        "~" => Interval { from, below: it.bump(1) },
        "~>" | "~=" => Interval { from, below: it.bump(it.given.len().saturating_sub(2)) },
        ">=" => Interval { from, ..ALL },
        ">" => Interval { from: after, ..ALL },
        "<" => Interval { below: from, ..ALL },
        "<=" => Interval { below: after, ..ALL },
        // It excludes single releases, and a base image is a newer one.
        "!=" => ALL,
        _ => return None,
    })
}

/// A version of which the last parts may be missing: `22`, `22.x`, `v22.3.1`.
struct Partial {
    given: Vec<u32>,
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', 'V']);
        let text = text.split(['-', '+', '@']).next().unwrap_or(text);
        let mut given = Vec::new();
        for part in text.split('.').take(3) {
            match part {
                "x" | "X" | "*" => break,
                number => given.push(number.parse().ok().filter(|it| *it < u32::MAX)?),
            }
        }
        Some(Self { given })
    }

    fn lowest(&self) -> Version {
        std::array::from_fn(|part| self.given.get(part).copied().unwrap_or(0))
    }

    /// All releases with the given parts.
    fn line(&self) -> Interval {
        Interval { from: self.lowest(), below: self.bump(2) }
    }

    /// The lowest version after all that share the parts up to this one, or up to the last that is given.
    fn bump(&self, part: usize) -> Version {
        let Some(last) = self.given.len().checked_sub(1) else { return ALL.below };
        let part = part.min(last);
        let mut bumped = [0; 3];
        bumped[..=part].copy_from_slice(&self.given[..=part]);
        bumped[part] += 1;
        bumped
    }

    fn first_nonzero(&self) -> usize {
        self.given.iter().position(|it| *it > 0).unwrap_or(2)
    }
}

impl fmt::Display for Wish<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.range.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bases::NODE;

    fn chosen(range: &str) -> Option<&'static str> {
        choose(&NODE, &[Wish { place: "here", range }]).ok().map(|it| it.version)
    }

    #[test]
    fn the_default_is_used_if_it_satisfies_the_wish_else_the_highest_version() {
        for (range, expected) in [
            ("*", "24"),
            ("", "24"),
            (">=16", "24"),
            (">= 16", "24"),
            ("24.x", "24"),
            ("^24.3.1", "24"),
            (">=25", "26"),
            (">24", "26"),
            (">24.3", "24"),
            ("<=24", "24"),
            ("<24", "22"),
            ("<24.1", "24"),
            ("22", "22"),
            ("v20.11.1", "20"),
            ("=20.11", "20"),
            ("20.11.1-alpine", "20"),
            ("~18.17", "18"),
            ("~18", "18"),
            ("~>18.17", "18"),
            ("~>18", "18"),
            ("~=18.17", "18"),
            ("^18 || ^20", "20"),
            ("18|20", "20"),
            ("18.x || >=20.0.0", "24"),
            (">=18 <21", "20"),
            (">=18,<21", "20"),
            (">= 18, < 21", "20"),
            ("16 - 20", "20"),
            ("!=20.1,<=20.1", "20"),
        ] {
            assert_eq!(chosen(range), Some(expected), "{range}");
        }
    }

    #[test]
    fn what_no_version_satisfies_or_no_range_is_has_no_version() {
        for range in ["12", "<14", ">=99", ">=22 <18", "latest", "twenty", ">=", "^", "4294967295", "20 21 22", "%18"] {
            assert_eq!(chosen(range), None, "{range}");
        }
    }

    #[test]
    fn the_error_names_the_place_and_the_versions() {
        let error = choose(&NODE, &[Wish { place: ".nvmrc", range: "12" }]).map(|it| it.version);
        assert_eq!(
            error.map_err(|it| it.to_string()),
            Err(".nvmrc asks for Node.js 12, but Boatyard has 26, 24, 22, 20, 18, 16, 14. Change it, or add a Dockerfile".into())
        );
    }
}
