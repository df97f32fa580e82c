//! The requests during the rollout: a picture over time, and the numbers that the ingress counted.

use chrono::{DateTime, TimeDelta, Utc};
use controller::view::TrafficSample;
use maud::{Markup, html};
use present::Traffic;
use present::text::{counted, grouped};
use web::view;

use super::facts::Facts;
use crate::ui::chart::{self, Bar};
use crate::ui::{Tone, card};

/// The picture begins this long before the rollout and ends this long after it, for comparison.
const AROUND: TimeDelta = TimeDelta::seconds(15);
/// Most bars of the picture. It has half as many at least, and otherwise one for each second.
const BARS: i64 = 60;

pub(super) fn markup(facts: &Facts) -> Markup {
    let record = &facts.it.boatyard.record;
    let Some(began) = record.roll_began else { return card::nothing("requests") };
    let until = record.roll_ended.map(|it| it + AROUND);
    let samples: Vec<_> = facts.traffic.iter().filter_map(|it| sample(it, began - AROUND, until)).collect();
    let bars = bars(&samples);
    if record.served.is_none() && bars.is_empty() {
        return card::nothing("requests");
    }
    let summary = summary(&bars, until.is_some());
    card::card(
        "requests",
        "Requests during the rollout",
        html! {},
        html! {
            @if let Some(served) = &record.served { (numbers(served)) }
            @if bars.iter().any(|it| it.good + it.bad > 0) { (chart::bars(&summary, &bars)) }
        // This process may have started after the rollout, and then has no samples of it.
        @if !bars.is_empty() { p class="hint" { (summary) } }
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

/// Bars of equal length. A sample that lies in several bars is divided among them, and no request is lost.
fn bars(samples: &[Sample]) -> Vec<Bar> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Vec::new() };
    let start = first.at - first.over;
    let length = (last.at - start).num_milliseconds().max(1);
    let count = (length / 1000).clamp(BARS / 2, BARS);
    let until = |bar: i64| counted_until(samples, start + TimeDelta::milliseconds(length * bar / count));
    let bar = |number| {
        let (before, after) = (until(number), until(number + 1));
        Bar { good: after.good - before.good, bad: after.bad - before.bad }
    };
    (0..count).map(bar).collect()
}

/// The requests of all samples until a time, as if those of a sample were spread evenly.
fn counted_until(samples: &[Sample], time: DateTime<Utc>) -> Bar {
    let share = |it: &Sample| {
        let (passed, over) = ((time - it.at + it.over).num_milliseconds(), it.over.num_milliseconds().max(1));
        passed.clamp(0, over) as f64 / over as f64
    };
    let sum =
        |count: fn(&Bar) -> u64| samples.iter().map(|it| share(it) * count(&it.bar) as f64).sum::<f64>().round() as u64;
    Bar { good: sum(|it| it.good), bad: sum(|it| it.bad) }
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
        let seconds: Vec<_> = (1..=40).map(|second| (second, 1, second as u64, 1)).collect();
        assert_eq!(counts(&seconds), seconds.iter().map(|it| (it.2, 1)).collect::<Vec<_>>());
        let divided = counts(&[(20, 20, 100, 0), (40, 20, 20, 4)]);
        assert_eq!((divided[0], divided[19], divided[20].0, divided[39].0), ((5, 0), (5, 0), 1, 1));
        let hour: Vec<_> = (1..=3600).map(|second| (second, 1, 1, 0)).collect();
        for rows in [&seconds[..2], &[(20, 20, 100, 0), (40, 20, 20, 4)], &hour] {
            let bars = bars(&samples(rows));
            assert!((30..=60).contains(&bars.len()));
            let all = |count: fn(&Bar) -> u64| bars.iter().map(count).sum::<u64>();
            let expected = rows.iter().fold((0, 0), |(good, bad), it| (good + it.2, bad + it.3));
            assert_eq!((all(|it| it.good), all(|it| it.bad)), expected);
        }
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
