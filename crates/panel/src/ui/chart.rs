//! Small pictures of numbers over time. Each has a summary in words. Elements of SVG need an end tag: `rect … {}`.

use maud::{Markup, html};

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;

/// A line over time. `values` are in order, a gap is `None`. `top` is the value at the upper edge, such as a limit; the
/// highest value otherwise. `summary` says the same in words: "CPU of web.1 in the last hour: now 12 %, at most 48 %".
pub fn sparkline(summary: &str, values: &[Option<f64>], top: Option<f64>) -> Markup {
    let highest = values.iter().flatten().copied().fold(0.0, f64::max);
    let top = top.unwrap_or(highest).max(highest).max(f64::MIN_POSITIVE);
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let (mut line, mut area, mut start) = (String::new(), String::new(), None);
    for (index, value) in values.iter().enumerate() {
        let x = index as f64 * step;
        match value {
            Some(value) => {
                let y = HEIGHT - 1.0 - value / top * (HEIGHT - 3.0);
                let begins = start.is_none();
                line += &format!("{}{x:.1} {y:.1}", if begins { 'M' } else { 'L' });
                area += &format!("{}L{x:.1} {y:.1}", if begins { format!("M{x:.1} {HEIGHT}") } else { String::new() });
                start = start.or(Some(x));
            }
            None => end_area(&mut area, &mut start, x - step),
        }
    }
    end_area(&mut area, &mut start, WIDTH);
    html! {
        svg class="chart" viewBox="0 0 240 40" preserveAspectRatio="none" role="img" aria-label=(summary) {
            title { (summary) }
            path class="area" d=(area) {}
            path class="line" d=(line) vector-effect="non-scaling-stroke" {}
        }
    }
}

fn end_area(area: &mut String, start: &mut Option<f64>, x: f64) {
    if start.take().is_some() {
        *area += &format!("L{x:.1} {HEIGHT}Z");
    }
}

/// One interval of a [`bars`] chart.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bar {
    /// The good part, below: requests that were served.
    pub good: u64,
    /// The bad part, on top: requests that failed. Never lower than 3 pixels if there is one.
    pub bad: u64,
}

/// Bars over time, such as requests and failures during a rollout. Send at most about 120, because each costs 100 bytes.
/// `summary` says the same in words: "1,204 requests, none failed".
pub fn bars(summary: &str, bars: &[Bar]) -> Markup {
    let top = bars.iter().map(|bar| bar.good + bar.bad).max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / bars.len().max(1) as f64;
    let height =
        |count: u64, least: f64| if count == 0 { 0.0 } else { (count as f64 / top * (HEIGHT - 4.0)).max(least) };
    html! {
        svg class="chart bars" viewBox="0 0 240 40" preserveAspectRatio="none" role="img" aria-label=(summary) {
            title { (summary) }
            @for (index, bar) in bars.iter().enumerate() {
                @let (x, width) = (format!("{:.1}", index as f64 * step), format!("{:.1}", step * 0.8));
                @let (good, bad) = (height(bar.good, 1.0), height(bar.bad, 3.0));
                @if good > 0.0 { rect class="good" x=(x) y=(format!("{:.1}", HEIGHT - good)) width=(width) height=(format!("{good:.1}")) {} }
                @if bad > 0.0 { rect class="bad" x=(x) y=(format!("{:.1}", HEIGHT - good - bad)) width=(width) height=(format!("{bad:.1}")) {} }
            }
        }
    }
}
