//! The requests during the rollout: a picture over time, and the numbers that the ingress counted.

use chrono::{DateTime, TimeDelta, Utc};
use controller::view::TrafficSample;
use maud::{Markup, html};
use present::Traffic;
use present::text::{counted, grouped};
use web::view;

use super::facts::Facts;
use super::nothing;
use crate::ui::chart::{self, Bar};
use crate::ui::{Tone, card};

/// The picture begins this long before the rollout and ends this long after it, for comparison.
const AROUND: TimeDelta = TimeDelta::seconds(15);
/// Bars of the picture.
const BARS: i64 = 60;

pub(super) fn markup(facts: &Facts) -> Markup {
    let record = &facts.it.boatyard.record;
    let Some(began) = record.roll_began else { return nothing("requests") };
    let until = record.roll_ended.map(|it| it + AROUND);
    let samples: Vec<_> = facts.traffic.iter().filter_map(|it| sample(it, began - AROUND, until)).collect();
    let bars = bars(&samples);
    if record.served.is_none() && bars.is_empty() {
        return nothing("requests");
    }
    let summary = summary(&bars, until.is_some());
    let title = if record.roll_ended.is_some() { "Requests during the rollout" } else { "Requests now" };
    card::card(
        "requests",
        title,
        html! {},
        html! {
            @if let Some(served) = &record.served { (numbers(served)) }
            @if bars.iter().any(|it| it.good + it.bad > 0) { (chart::bars(&summary, &bars)) }
        p class="hint" { (summary) }
        },
    )
}

/// One interval of the picture.
struct Sample {
    at: DateTime<Utc>,
    over: TimeDelta,
    bar: Bar,
}

/// The sample, if it lies in the picture. `until`: `None` while the rollout is in progress.
fn sample(it: &TrafficSample, from: DateTime<Utc>, until: Option<DateTime<Utc>>) -> Option<Sample> {
    let at = view::time(it.at).filter(|at| *at >= from && until.is_none_or(|until| *at <= until))?;
    let bad = it.failed + it.app_errors;
    let bar = Bar { good: it.requests.saturating_sub(bad), bad };
    Some(Sample { at, over: TimeDelta::from_std(it.over).ok()?, bar })
}

/// Bars of equal length that cover all samples.
fn bars(samples: &[Sample]) -> Vec<Bar> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
    let start = first.at - first.over;
    let length = (last.at - start).num_milliseconds().max(1);
    let longest = samples.iter().map(|it| it.over.num_milliseconds()).max().unwrap_or(1);
    let step = longest.max(length.div_euclid(BARS)).max(1000);
    let mut bars = vec![Bar::default(); usize::try_from(length / step).unwrap_or(0) + 1];
    for it in samples {
        // The end of an interval belongs to it, and not to the next one.
        let index = usize::try_from(((it.at - start).num_milliseconds() - 1) / step).unwrap_or(0);
        if let Some(bar) = bars.get_mut(index) {
            bar.good += it.bar.good;
            bar.bad += it.bar.bad;
        }
    }
    bars
}

fn summary(bars: &[Bar], is_over: bool) -> String {
    let (good, bad) = bars.iter().fold((0, 0), |(good, bad), it| (good + it.good, bad + it.bad));
    let (from, until) = ("15 s before the rollout", if is_over { "15 s after it" } else { "now" });
    match (good + bad, bad) {
        (0, _) => format!("No requests from {from} until {until}."),
        (all, 0) => format!("{} from {from} until {until}, none failed.", counted(all, "request")),
        (all, bad) => format!("{} from {from} until {until}, {} failed.", counted(all, "request"), grouped(bad)),
    }
}

/// The proof: what the ingress counted from the first step of the rollout to the last.
fn numbers(it: &Traffic) -> Markup {
    let cut = it.requests_cut + it.uploads_cut + it.upgraded_cut;
    let tone = |count: u64| if count == 0 { Tone::Good } else { Tone::Bad };
    let tiles = [
        ("served", grouped(it.requests + it.open_at_start), Tone::Plain),
        ("failed", grouped(it.failed), tone(it.failed)),
        ("cut at the drain limit", grouped(cut), tone(cut)),
        ("slowest", format!("{} ms", grouped(it.slowest_ms)), Tone::Plain),
    ];
    html! {
        dl class="tiles" { @for (name, value, tone) in &tiles { div class=(tone.class()) { dt { (name) } dd { (value) } } } }
        @if it.app_errors > 0 { p class="hint" { "The app itself answered " (counted(it.app_errors, "request")) " with a status of 500 or above." } }
        @if it.at_least { p class="hint" { "The ingress was restarted, and its counts since the last reading are lost." } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rows: &[(i64, i64, u64, u64)]) -> Vec<Sample> {
        let time = |it| DateTime::from_timestamp(it, 0).expect("a time");
        let sample = |(at, over, good, bad): &(i64, i64, u64, u64)| Sample {
            at: time(*at),
            over: TimeDelta::seconds(*over),
            bar: Bar { good: *good, bad: *bad },
        };
        rows.iter().map(sample).collect()
    }

    #[test]
    fn bars_are_equally_long_and_lose_no_request() {
        let counts =
            |rows: &[(i64, i64, u64, u64)]| bars(&samples(rows)).iter().map(|it| (it.good, it.bad)).collect::<Vec<_>>();
        assert_eq!(counts(&[]), []);
        assert_eq!(counts(&[(1, 1, 5, 0), (2, 1, 6, 1)])[..2], [(5, 0), (6, 1)]);
        assert_eq!(counts(&[(15, 15, 5, 0), (16, 1, 6, 0), (17, 1, 7, 0)]), [(5, 0), (13, 0)], "the longest decides");
        let hour: Vec<_> = (1..=3600).map(|second| (second, 1, 1, 0)).collect();
        let bars = counts(&hour);
        assert!(bars.len() as i64 <= BARS + 1, "{}", bars.len());
        assert_eq!(bars.iter().map(|it| it.0).sum::<u64>(), 3600);
    }

    #[test]
    fn the_picture_has_a_summary_in_words() {
        let bar = |good, bad| Bar { good, bad };
        let around = "from 15 s before the rollout until";
        let served = summary(&[bar(1000, 0), bar(204, 0)], true);
        assert_eq!(served, format!("1,204 requests {around} 15 s after it, none failed."));
        assert_eq!(summary(&[bar(0, 1)], false), format!("1 request {around} now, 1 failed."));
        assert_eq!(summary(&[bar(0, 0)], false), format!("No requests {around} now."));
    }
}
