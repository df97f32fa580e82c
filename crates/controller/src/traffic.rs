//! Requests of each app through the ingress over the last hour, in memory.
//!
//! A task reads the counts of the ingress: every second while records or waits change or somebody looks, every 15 s
//! otherwise. The counts of one window only grow while the ingress process lives, so each sample is the sum of the
//! differences of an app's windows. The samples are lost with this process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ingress::protocol::Counters;
use rollout::ids::AppId;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use crate::app::Shared;
use crate::supervise::lock;

/// The interval of samples while something happens or somebody looks.
const FINE: Duration = Duration::from_secs(1);
/// How long single samples are kept. Then they are merged into samples of at most [`COARSE`].
const FINE_FOR: Duration = Duration::from_secs(5 * 60);
/// The interval of samples otherwise.
const COARSE: Duration = Duration::from_secs(15);
/// How long samples are kept.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);
/// How long the fine interval goes on after the last change or look.
const ACTIVE_FOR: Duration = Duration::from_secs(30);

/// The samples of all apps.
#[derive(Default)]
pub(crate) struct TrafficHistory {
    state: Mutex<State>,
    looked: Notify,
}

#[derive(Default)]
struct State {
    last: Option<(Instant, TrafficReading)>,
    apps: BTreeMap<AppId, Samples>,
}

/// The counts of one ingress process at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrafficReading {
    pub boot_id: String,
    /// By app and window.
    pub counters: BTreeMap<String, BTreeMap<String, Counters>>,
}

/// What the ingress counted for one app during one interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub end: Instant,
    pub over: Duration,
    pub requests: u64,
    pub failed: u64,
    pub app_errors: u64,
}

/// Samples of one app without gaps, oldest first.
#[derive(Debug, Default)]
struct Samples {
    merged: VecDeque<Sample>,
    single: VecDeque<Sample>,
}

/// Reads the counts again and again.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut changes = shared.changes.subscribe();
    let mut active_until = Instant::now();
    loop {
        let began = Instant::now();
        let pause = if began < active_until { FINE } else { COARSE };
        let active = async {
            tokio::select! {
                _ = changes.changed() => {}
                () = shared.traffic.looked.notified() => {}
            }
        };
        if timeout(pause, active).await.is_ok() {
            active_until = Instant::now() + ACTIVE_FOR;
            sleep_until(began + FINE).await;
        }
        // If the ingress does not answer, the next sample covers a longer interval.
        if let Some(reading) = shared.ingress.traffic().await {
            lock(&shared.traffic.state).add(Instant::now(), reading);
        }
    }
}

impl TrafficHistory {
    /// The samples of an app, oldest first. From now on the task reads every second for a while.
    pub fn of(&self, app: &AppId) -> Vec<Sample> {
        self.looked.notify_one();
        let state = lock(&self.state);
        state.apps.get(app).into_iter().flat_map(Samples::iter).copied().collect()
    }

    /// How many requests each of these apps got in the last five minutes.
    pub fn recent_requests(&self, apps: &[AppId]) -> Vec<u64> {
        let (state, now) = (lock(&self.state), Instant::now());
        apps.iter().map(|app| state.apps.get(app).map_or(0, |it| it.requests_within(FINE_FOR, now))).collect()
    }
}

impl State {
    fn add(&mut self, now: Instant, reading: TrafficReading) {
        for samples in self.apps.values_mut() {
            samples.forget_old(now);
        }
        self.apps.retain(|_, it| it.iter().next().is_some());
        // The first reading says only where the counts begin.
        if let Some((before, last)) = &self.last {
            for (app, windows) in &reading.counters {
                // The counts of another process began at zero, and so did those of a new window.
                let known = last.counters.get(app).filter(|_| last.boot_id == reading.boot_id);
                let grown = |of: fn(&Counters) -> u64| -> u64 {
                    let before = |window: &String| known.and_then(|it| it.get(window)).map_or(0, of);
                    windows.iter().map(|(window, counters)| of(counters).saturating_sub(before(window))).sum()
                };
                self.apps.entry(AppId::from(app.as_str())).or_default().add(Sample {
                    end: now,
                    over: now - *before,
                    requests: grown(|it| it.requests),
                    failed: grown(|it| it.failed),
                    app_errors: grown(|it| it.app_errors),
                });
            }
        }
        self.last = Some((now, reading));
    }
}

impl Samples {
    fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.merged.iter().chain(&self.single)
    }

    fn add(&mut self, new: Sample) {
        self.single.push_back(new);
        while self.single.front().is_some_and(|it| new.end - it.end >= FINE_FOR)
            && let Some(old) = self.single.pop_front()
        {
            match self.merged.back_mut().filter(|it| it.over + old.over <= COARSE) {
                Some(last) => last.extend(old),
                None => self.merged.push_back(old),
            }
        }
    }

    fn forget_old(&mut self, now: Instant) {
        for samples in [&mut self.merged, &mut self.single] {
            while samples.front().is_some_and(|it| now - it.end > KEPT_FOR) {
                samples.pop_front();
            }
        }
    }

    /// The requests of this last time. A sample that began earlier counts in proportion.
    fn requests_within(&self, last: Duration, now: Instant) -> u64 {
        let part = |it: &Sample| {
            let within = last.saturating_sub(now.saturating_duration_since(it.end)).min(it.over);
            it.requests as f64 * within.as_secs_f64() / it.over.as_secs_f64().max(f64::EPSILON)
        };
        self.iter().map(part).sum::<f64>().round() as u64
    }
}

impl Sample {
    fn extend(&mut self, next: Sample) {
        self.end = next.end;
        self.over += next.over;
        self.requests += next.requests;
        self.failed += next.failed;
        self.app_errors += next.app_errors;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(requests: u64, failed: u64, app_errors: u64) -> Counters {
        Counters { requests, failed, app_errors, ..Counters::default() }
    }

    fn reading(boot_id: &str, windows: &[(&str, Counters)]) -> TrafficReading {
        let windows = windows.iter().map(|(name, counters)| ((*name).to_owned(), *counters)).collect();
        TrafficReading { boot_id: boot_id.into(), counters: BTreeMap::from([("shop".to_owned(), windows)]) }
    }

    fn samples(state: &State) -> Vec<(u64, u64, u64)> {
        state.apps[&"shop".into()].iter().map(|it| (it.requests, it.failed, it.app_errors)).collect()
    }

    #[test]
    fn a_sample_is_the_growth_of_all_windows_and_survives_new_windows_and_a_new_process() {
        let (mut state, start) = (State::default(), Instant::now());
        let readings = [
            ("the first reading is where the counts begin", reading("a", &[("d1", counters(900, 9, 9))]), None),
            ("growth", reading("a", &[("d1", counters(910, 10, 9))]), Some((10, 1, 0))),
            (
                "a new deployment",
                reading("a", &[("d1", counters(911, 10, 9)), ("d2", counters(5, 0, 2))]),
                Some((6, 0, 2)),
            ),
            ("the ingress forgot the oldest window", reading("a", &[("d2", counters(6, 0, 2))]), Some((1, 0, 0))),
            ("a request moved to another app", reading("a", &[("d2", counters(5, 0, 2))]), Some((0, 0, 0))),
            ("a new process", reading("b", &[("d2", counters(3, 1, 0))]), Some((3, 1, 0))),
            ("growth in the new process", reading("b", &[("d2", counters(4, 1, 0))]), Some((1, 0, 0))),
        ];
        let mut expected = Vec::new();
        for (second, (name, reading, sample)) in (0..).zip(readings) {
            state.add(start + FINE * second, reading);
            expected.extend(sample);
            if second > 0 {
                assert_eq!(samples(&state), expected, "{name}");
            }
        }
    }

    #[test]
    fn after_a_pause_a_sample_covers_the_whole_interval() {
        let (mut state, start) = (State::default(), Instant::now());
        state.add(start, reading("a", &[("d1", counters(1, 0, 0))]));
        state.add(start + FINE * 40, reading("a", &[("d1", counters(81, 0, 0))]));
        let all: Vec<_> = state.apps[&"shop".into()].iter().map(|it| (it.over, it.requests)).collect();
        assert_eq!(all, [(FINE * 40, 80)]);
    }

    #[test]
    fn samples_are_merged_after_five_minutes_and_dropped_after_an_hour() {
        let (mut state, start) = (State::default(), Instant::now());
        for second in 0..=7300_u32 {
            state.add(start + FINE * second, reading("a", &[("d1", counters(u64::from(second) * 2, 0, 0))]));
        }
        let shop = &state.apps[&"shop".into()];
        assert_eq!((shop.single.len(), shop.merged.len()), (300, 221));
        assert!(shop.single.iter().all(|it| (it.over, it.requests) == (FINE, 2)));
        assert!(shop.merged.iter().skip(1).rev().skip(1).all(|it| (it.over, it.requests) == (COARSE, 30)));
        let all: Vec<_> = shop.iter().collect();
        assert!(all.windows(2).all(|it| it[0].end + it[1].over == it[1].end), "no gap and no overlap");
        state
            .add(start + FINE * 7300 + KEPT_FOR * 2, TrafficReading { boot_id: "a".into(), counters: BTreeMap::new() });
        assert!(state.apps.is_empty(), "an app that the ingress no longer knows is forgotten");
    }

    #[test]
    fn requests_lately_count_parts_of_samples() {
        let (mut state, start) = (State::default(), Instant::now());
        state.add(start, reading("a", &[("d1", counters(0, 0, 0))]));
        state.add(start + COARSE, reading("a", &[("d1", counters(30, 0, 0))]));
        state.add(start + COARSE * 2, reading("a", &[("d1", counters(90, 0, 0))]));
        let shop = &state.apps[&"shop".into()];
        for (seconds, later, expected) in
            [(100, 0, 90), (30, 0, 90), (25, 0, 80), (15, 0, 60), (14, 0, 56), (30, 15, 60), (30, 31, 0)]
        {
            let now = start + COARSE * 2 + FINE * later;
            assert_eq!(shop.requests_within(FINE * seconds, now), expected, "{seconds} s, {later} s later");
        }
    }
}
