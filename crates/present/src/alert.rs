//! Alerts, which are stored and never sent.

use serde::Deserialize;

/// What every list of alerts says.
pub const NOT_SENT: &str = "Boatyard stores alerts and their destinations, but sends nothing";

/// The part of an alert that its trigger is worded from.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Alert {
    /// The alert as the spec has it.
    pub spec: AlertSpec,
}

/// A rule with its threshold, if it has one.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AlertSpec {
    /// `GREATER_THAN` or `LESS_THAN`; empty for an event.
    pub operator: String,
    /// The threshold.
    pub value: f64,
    /// How long: `FIVE_MINUTES`.
    pub window: String,
}

impl Alert {
    /// The threshold, or `Event` for a rule without one.
    pub fn trigger(&self) -> String {
        let AlertSpec { operator, value, window } = &self.spec;
        let operator = match operator.as_str() {
            "" => return "Event".to_owned(),
            "GREATER_THAN" => ">",
            "LESS_THAN" => "<",
            other => other,
        };
        let window = match window.as_str() {
            "FIVE_MINUTES" => "5m",
            "TEN_MINUTES" => "10m",
            "THIRTY_MINUTES" => "30m",
            "ONE_HOUR" => "1h",
            other => other,
        };
        format!("{operator} {value} for {window}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_trigger_is_a_threshold_or_an_event() {
        let trigger = |spec| serde_json::from_value::<Alert>(json!({ "spec": spec })).expect("an alert").trigger();
        assert_eq!(trigger(json!({ "rule": "DEPLOYMENT_FAILED" })), "Event");
        let cpu =
            json!({ "rule": "CPU_UTILIZATION", "operator": "GREATER_THAN", "value": 85, "window": "FIVE_MINUTES" });
        assert_eq!(trigger(cpu), "> 85 for 5m");
        assert_eq!(trigger(json!({ "operator": "LESS_THAN", "value": 0.5, "window": "ONE_HOUR" })), "< 0.5 for 1h");
    }
}
