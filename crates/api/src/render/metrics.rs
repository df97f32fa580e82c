//! Metrics in the text format of Prometheus
//! (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).

use std::fmt::{Display, Write};

use controller::view::{CertificateView, ComponentCounts, IngressMetrics, LATENCY_BOUNDS_US, MetricsView};
use rollout::ids::AppId;

/// The type of a metric.
const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// All metrics. What the ingress counts is missing if it does not answer or is of an older version.
pub(crate) fn metrics(view: &MetricsView, certificates: &[CertificateView]) -> String {
    let mut text = Text::default();
    text.family("boatyard_ingress_up", GAUGE, "Whether the ingress answers and counts requests.");
    text.sample("boatyard_ingress_up", &[], u8::from(view.ingress.is_some()));
    let name = |app: &AppId| view.names.get(app).cloned().unwrap_or_else(|| app.to_string());
    if let Some(ingress) = &view.ingress {
        of_ingress(&mut text, &name, ingress);
    }
    let metric = "boatyard_deployments_total";
    text.family(metric, COUNTER, "Deployments by result, since the controller started.");
    for (app, result, count) in &view.deployments {
        text.sample(metric, &[("app", &name(app)), ("result", result)], count);
    }
    let metric = "boatyard_restarts_total";
    text.family(
        metric,
        COUNTER,
        "Processes that exited by themselves and were restarted, since the controller started.",
    );
    for (app, component, count) in &view.restarts {
        text.sample(metric, &[("app", &name(app)), ("component", component.as_str())], count);
    }
    let metric = "boatyard_certificate_expiry_timestamp_seconds";
    text.family(metric, GAUGE, "When the certificate of a host name expires, in seconds since 1970.");
    for certificate in certificates {
        if let Some(expires) = certificate.expires {
            text.sample(metric, &[("name", &certificate.name)], expires.0 / 1000);
        }
    }
    text.0
}

/// `name`: of an app.
fn of_ingress(text: &mut Text, name: &impl Fn(&AppId) -> String, ingress: &IngressMetrics) {
    let components: Vec<(String, &str, &ComponentCounts)> = ingress
        .components
        .iter()
        .flat_map(|(app, all)| all.iter().map(|(component, counts)| (name(app), component.as_str(), counts)))
        .collect();

    let metric = "boatyard_http_requests_total";
    text.family(metric, COUNTER, "Responses by the class of their status. No component: no rule of the app matched.");
    for (app, component, counts) in &components {
        for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(counts.statuses) {
            text.sample(metric, &[("app", app), ("component", component), ("status", class)], count);
        }
    }

    let metric = "boatyard_http_request_duration_seconds";
    text.family(metric, "histogram", "Time from the head of a request to the head of its response.");
    for (app, component, counts) in &components {
        let labels = [("app", app.as_str()), ("component", *component)];
        let mut sum = 0;
        for (at, count) in counts.latencies.iter().enumerate() {
            sum += count;
            let bound = LATENCY_BOUNDS_US.get(at).map_or_else(|| "+Inf".to_owned(), |bound| seconds(*bound));
            let [app, component] = labels;
            text.sample(&format!("{metric}_bucket"), &[app, component, ("le", &bound)], sum);
        }
        text.sample(&format!("{metric}_sum"), &labels, seconds(counts.latency_sum_us));
        text.sample(&format!("{metric}_count"), &labels, sum);
    }

    let metric = "boatyard_http_errors_total";
    text.family(metric, COUNTER, "Responses of the ingress in place of the app's, by the code in X-Boatyard-Error.");
    for (app, component, counts) in &components {
        for (code, count) in &counts.errors {
            text.sample(metric, &[("app", app), ("component", component), ("code", code)], count);
        }
    }

    type Count = fn(&ComponentCounts) -> u64;
    let simple: [(&str, &str, &str, Count); 6] = [
        (
            "boatyard_http_retries_total",
            COUNTER,
            "Requests that were sent again, so that the client saw no error.",
            |it| it.retries,
        ),
        ("boatyard_http_open_requests", GAUGE, "Requests that are open now.", |it| it.open_requests),
        ("boatyard_http_open_upgraded", GAUGE, "Upgraded connections (WebSocket) that are open now.", |it| {
            it.open_upgraded
        }),
        ("boatyard_drains_open", GAUGE, "Instances that are leaving and still have open requests.", |it| it.draining),
        ("boatyard_drains_total", COUNTER, "Instances that left without an open request.", |it| it.drained),
        (
            "boatyard_drains_cut_total",
            COUNTER,
            "Requests and upgraded connections that a stopping instance cut off.",
            |it| it.cut,
        ),
    ];
    for (metric, kind, help, count) in simple {
        text.family(metric, kind, help);
        for (app, component, counts) in &components {
            text.sample(metric, &[("app", app), ("component", component)], count(counts));
        }
    }

    let metric = "boatyard_http_sent_bytes_total";
    text.family(metric, COUNTER, "Bytes of response bodies and upgraded connections that were sent to clients.");
    for (app, bytes) in &ingress.sent_bytes {
        text.sample(metric, &[("app", &name(app))], bytes);
    }
    let metric = "boatyard_ingress_refused_total";
    text.family(metric, COUNTER, "Requests and connections that were refused before their app was known, by the code.");
    for (code, count) in &ingress.refusals {
        text.sample(metric, &[("code", code)], count);
    }
    let metric = "boatyard_access_log_dropped_total";
    text.family(metric, COUNTER, "Lines of the access log that were dropped because the disk was too slow.");
    text.sample(metric, &[], ingress.log_lines_dropped);
}

/// A number of microseconds in seconds, without rounding.
fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, metric: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {metric} {help}"));
        self.line(format_args!("# TYPE {metric} {kind}"));
    }

    fn sample(&mut self, metric: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        match labels.is_empty() {
            true => self.line(format_args!("{metric} {value}")),
            false => self.line(format_args!("{metric}{{{}}} {value}", labels.join(","))),
        }
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes any text");
    }
}

/// The value of a label.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        let mut text = Text::default();
        text.sample("m", &[("a", "x\"y\\z\nw"), ("b", "é")], 1);
        assert_eq!(text.0, "m{a=\"x\\\"y\\\\z\\nw\",b=\"é\"} 1\n");
    }

    #[test]
    fn seconds_are_exact() {
        for (micros, expected) in [(0, "0"), (5_000, "0.005"), (1_000_000, "1"), (10_000_001, "10.000001")] {
            assert_eq!(seconds(micros), expected);
        }
    }

    #[test]
    fn the_buckets_of_a_histogram_are_cumulative() {
        let mut latencies = [0; LATENCY_BOUNDS_US.len() + 1];
        (latencies[0], latencies[2], latencies[LATENCY_BOUNDS_US.len()]) = (3, 2, 1);
        let counts = ComponentCounts { latencies, latency_sum_us: 11_500_000, ..ComponentCounts::default() };
        let app = AppId::from("6f1c");
        let ingress = IngressMetrics {
            components: BTreeMap::from([(app.clone(), BTreeMap::from([("web".to_owned(), counts)]))]),
            ..IngressMetrics::default()
        };
        let names = BTreeMap::from([(app, "shop".to_owned())]);
        let text = metrics(&MetricsView { names, ingress: Some(ingress), ..MetricsView::default() }, &[]);
        for line in [
            "boatyard_http_request_duration_seconds_bucket{app=\"shop\",component=\"web\",le=\"0.005\"} 3",
            "boatyard_http_request_duration_seconds_bucket{app=\"shop\",component=\"web\",le=\"0.025\"} 5",
            "boatyard_http_request_duration_seconds_bucket{app=\"shop\",component=\"web\",le=\"+Inf\"} 6",
            "boatyard_http_request_duration_seconds_sum{app=\"shop\",component=\"web\"} 11.5",
            "boatyard_http_request_duration_seconds_count{app=\"shop\",component=\"web\"} 6",
            "boatyard_ingress_up 1",
        ] {
            assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn without_an_ingress_that_counts_its_metrics_are_missing() {
        let text = metrics(&MetricsView::default(), &[]);
        assert!(text.contains("boatyard_ingress_up 0\n") && !text.contains("boatyard_http_"), "{text}");
    }
}
