//! Requests over the last hour.

use controller::view::TrafficSample;
use maud::{Markup, html};
use present::text::{counted, grouped};

use super::facts::Facts;
use super::has_address;
use crate::ui::card;
use crate::ui::chart::{self, Bar};

/// Bars of the picture, one for each minute.
const BARS: u64 = 60;
const MINUTE: u64 = 60_000;

pub(super) fn markup(facts: &Facts) -> Markup {
    if !has_address(&facts.spec) {
        return card::nothing("requests");
    }
    let summary = summary(&facts.traffic);
    card::card(
        "requests",
        "Requests",
        html! {},
        html! { (chart::bars(&summary, &bars(&facts.traffic))) p class="hint" { (summary) } },
    )
}

/// Sums for each minute until the newest sample.
fn bars(samples: &[TrafficSample]) -> Vec<Bar> {
    let mut bars = vec![Bar::default(); BARS as usize];
    // The end of an interval belongs to it, and not to the next one.
    let minute = |it: &TrafficSample| it.at.0.saturating_sub(1) / MINUTE;
    let newest = samples.last().map_or(0, minute);
    for it in samples {
        let age = newest.saturating_sub(minute(it));
        if let Some(bar) = BARS.checked_sub(age + 1).and_then(|index| bars.get_mut(index as usize)) {
            let bad = it.failed + it.app_errors;
            bar.good += it.requests.saturating_sub(bad);
            bar.bad += bad;
        }
    }
    bars
}

/// "1,204 requests in the last hour, 2 failed, 3 answered with an error by the app".
fn summary(samples: &[TrafficSample]) -> String {
    let sum = |of: fn(&TrafficSample) -> u64| samples.iter().map(of).sum::<u64>();
    let minutes = samples.iter().map(|it| it.over.as_secs()).sum::<u64>() / 60;
    let time = match minutes {
        59.. => "the last hour".to_owned(),
        2.. => format!("the last {minutes} minutes"),
        _ => "the last minute".to_owned(),
    };
    let failed = match sum(|it| it.failed) {
        0 => "none failed".to_owned(),
        failed => format!("{} failed", grouped(failed)),
    };
    let errors = match sum(|it| it.app_errors) {
        0 => String::new(),
        errors => format!(", {} got an error of the app (status 500 or above)", grouped(errors)),
    };
    format!("{} in {time}, {failed}{errors}", counted(sum(|it| it.requests), "request"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rollout::time::Timestamp;

    use super::*;

    fn sample(at: u64, requests: u64, failed: u64) -> TrafficSample {
        let (at, over) = (Timestamp(at), Duration::from_secs(15));
        TrafficSample { at, over, requests, failed, app_errors: 0 }
    }

    #[test]
    fn samples_are_summed_by_minute_and_the_newest_one_ends_the_picture() {
        let samples = [sample(MINUTE, 5, 1), sample(2 * MINUTE - 1, 6, 0), sample(2 * MINUTE, 7, 0)];
        let bars = bars(&samples).iter().map(|it| (it.good, it.bad)).collect::<Vec<_>>();
        assert_eq!(bars.len(), 60);
        assert_eq!(bars[57..], [(0, 0), (4, 1), (13, 0)]);
        let hours: Vec<_> = (1..600).map(|it| sample(it * 15_000, 1, 0)).collect();
        assert_eq!(super::bars(&hours).iter().map(|it| it.good).collect::<Vec<_>>()[..59], [4; 59]);
    }

    #[test]
    fn the_summary_says_how_much_of_the_hour_is_known() {
        assert_eq!(summary(&[]), "0 requests in the last minute, none failed");
        let samples: Vec<_> = (1..=20).map(|it| sample(it * 15_000, 100, 1)).collect();
        assert_eq!(summary(&samples), "2,000 requests in the last 5 minutes, 20 failed");
        let hour: Vec<_> = (1..=240).map(|it| TrafficSample { app_errors: 1, ..sample(it, 0, 0) }).collect();
        assert_eq!(
            summary(&hour),
            "0 requests in the last hour, none failed, 240 got an error of the app (status 500 or above)"
        );
    }
}
