//! CPU and memory of an instance over the last hour, as small pictures.

use controller::view::{InstanceUsage, InstanceView, UsageSample};
use maud::{Markup, html};
use present::text::binary_size;

use super::facts::Facts;
use crate::ui::chart;

const HOUR: u64 = 60 * 60 * 1000;
/// Points of all pictures of a page together, so that a page with many instances stays small.
const POINTS: usize = 1440;
/// The lowest upper edge of the picture of the CPU, so that an idle process looks idle.
const CPU_EDGE: f64 = 20.0;

/// CPU and memory of an instance. The picture also shows the instances before it in the same place.
pub(super) fn cells(facts: &Facts, instance: &InstanceView) -> [Markup; 2] {
    let is_here = |it: &&InstanceUsage| it.instance_alias == instance.instance_alias && !it.samples.is_empty();
    let place: Vec<_> = facts.usage.iter().filter(is_here).collect();
    let Some(limit) = place.last().map(|it| it.memory_limit_bytes) else { return [not_measured(), not_measured()] };
    let now = place.iter().find(|it| it.instance_name == instance.instance_name).and_then(|it| it.samples.last());
    let points = (POINTS / 2 / facts.instances.len().max(1)).clamp(12, 60);
    let alias = &instance.instance_alias;
    let picture = |what: &str, of: fn(&UsageSample) -> f64, edge, below: &str| {
        let values = points_of(&place, of, points);
        let highest = percent(values.iter().flatten().copied().fold(0.0, f64::max));
        let now = now.map(|it| percent(of(it)));
        let shown = now.as_deref().unwrap_or("not measured yet");
        let summary = format!("{what} of {alias} in the last hour: now {shown}, highest {highest}");
        html! {
            div class="usage" {
                (chart::sparkline(&summary, &values, Some(edge)))
                @if let Some(now) = now { span { (now) } } @else { (not_measured()) }
                small { "highest " (highest) (below) }
            }
        }
    };
    let of_limit = format!(" of {}", binary_size(limit).replace(".00", ""));
    [
        picture("CPU", |it| it.cpu_percent, CPU_EDGE, ""),
        picture("Memory", |it| it.memory_percent, 100.0, if limit > 0 { &of_limit } else { "" }),
    ]
}

fn not_measured() -> Markup {
    html! { small { "not measured yet" } }
}

/// The highest value in each of the `points` parts of the hour until the newest sample.
fn points_of(place: &[&InstanceUsage], of: fn(&UsageSample) -> f64, points: usize) -> Vec<Option<f64>> {
    let length = HOUR / points as u64;
    let samples = || place.iter().flat_map(|it| &it.samples);
    let newest = samples().map(|it| it.at.0 / length).max().unwrap_or(0);
    let mut values: Vec<Option<f64>> = vec![None; points];
    for it in samples() {
        let age = usize::try_from(newest - it.at.0 / length).unwrap_or(points);
        if let Some(value) = (points - 1).checked_sub(age).map(|index| &mut values[index]) {
            *value = Some(value.unwrap_or(0.0).max(of(it)));
        }
    }
    values
}

/// "4.2 %", "12 %".
fn percent(value: f64) -> String {
    if value < 10.0 { format!("{value:.1} %") } else { format!("{value:.0} %") }
}

#[cfg(test)]
mod tests {
    use rollout::time::Timestamp;

    use super::*;

    fn usage(samples: &[(u64, f64)]) -> InstanceUsage {
        let sample = |(at, cpu_percent): &(u64, f64)| UsageSample {
            at: Timestamp(*at),
            cpu_percent: *cpu_percent,
            memory_bytes: 0,
            memory_percent: 0.0,
        };
        InstanceUsage {
            instance_name: "by-1-shop-web".into(),
            component_name: "web".into(),
            instance_alias: "web-0".into(),
            memory_limit_bytes: 0,
            samples: samples.iter().map(sample).collect(),
        }
    }

    #[test]
    fn a_point_is_the_highest_value_of_its_part_of_the_hour_also_of_an_earlier_instance() {
        let minute = 60_000;
        let (old, new) =
            (usage(&[(minute, 7.0), (58 * minute, 1.0)]), usage(&[(59 * minute, 5.0), (59 * minute + 1, 3.0)]));
        let points = points_of(&[&old, &new], |it| it.cpu_percent, 60);
        assert_eq!(points.len(), 60);
        assert_eq!((points[1], points[58], points[59]), (Some(7.0), Some(1.0), Some(5.0)));
        assert_eq!(points.iter().flatten().count(), 3);
        assert_eq!(points_of(&[&old, &new], |it| it.cpu_percent, 12)[11], Some(5.0));
        assert_eq!(points_of(&[], |it| it.cpu_percent, 12), [None; 12]);
    }

    #[test]
    fn small_percentages_have_a_digit_after_the_point() {
        assert_eq!([0.0, 4.23, 12.5, 100.0].map(percent), ["0.0 %", "4.2 %", "12 %", "100 %"]);
    }
}
