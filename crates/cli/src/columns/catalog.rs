//! Columns of the catalog (regions, buildpacks, tiers and sizes) and of a proposal.

use present::text::binary_size;
use serde_json::Value;

use super::{Column, default_column, extra_column, text};

pub const REGIONS: &[Column] = &[
    default_column("Slug", "Region", |it| text(it, "/slug")),
    default_column("Label", "Label", |it| text(it, "/label")),
    default_column("Continent", "Continent", |it| text(it, "/continent")),
    default_column("DataCenters", "Data Centers", data_centers),
    default_column("Disabled", "Is Disabled?", |it| is(it, "/disabled").to_string()),
    default_column("Reason", "Reason (if disabled)", |it| text(it, "/reason")),
    default_column("Default", "Is Default?", |it| is(it, "/default").to_string()),
];

pub const BUILDPACKS: &[Column] = &[
    default_column("Name", "Name", |it| text(it, "/name")),
    default_column("ID", "ID", |it| text(it, "/id")),
    default_column("Version", "Version", |it| text(it, "/version")),
    default_column("Documentation", "Documentation", |it| text(it, "/docs_link")),
];

pub const TIERS: &[Column] = &[
    default_column("Name", "Name", |it| text(it, "/name")),
    default_column("Slug", "Slug", |it| text(it, "/slug")),
    default_column("EgressBandwidthBytes", "Egress Bandwidth", |it| bytes(it, "/egress_bandwidth_bytes")),
    default_column("BuildSeconds", "Build Seconds", |it| text(it, "/build_seconds")),
];

pub const INSTANCE_SIZES: &[Column] = &[
    default_column("Name", "Name", |it| text(it, "/name")),
    default_column("Slug", "Slug", |it| text(it, "/slug")),
    default_column("CPUs", "CPUs", |it| format!("{} {}", text(it, "/cpus"), text(it, "/cpu_type").to_lowercase())),
    default_column("Memory", "Memory", |it| bytes(it, "/memory_bytes")),
    default_column("USDPerMonth", "$/month", |it| text(it, "/usd_per_month")),
    default_column("USDPerSecond", "$/second", |it| text(it, "/usd_per_second")),
    default_column("TierSlug", "Tier", |it| text(it, "/tier_slug")),
    default_column("TierUpgradeDowngradePath", "Tier Downgrade/Upgrade Path", tier_path),
];

/// Nothing here costs money, so the cost of another tier is not applicable.
pub const PROPOSAL: &[Column] = &[
    default_column("AppNameAvailable", "App Name Available?", |it| yes_or_no(it, "/app_name_available")),
    extra_column("AppNameSuggestion", "Suggested App Name", |it| text(it, "/app_name_suggestion")),
    default_column("AppIsStatic", "Is Static?", |it| yes_or_no(it, "/app_is_static")),
    default_column("StaticApps", "Static App Usage", |it| {
        format!("{} of {} free", text(it, "/existing_static_apps"), text(it, "/max_free_static_apps"))
    }),
    default_column("AppCost", "$/month", |it| format!("{:.2}", it["app_cost"].as_f64().unwrap_or(0.0))),
    default_column("AppTierUpgradeCost", "$/month on higher tier", |it| cost(it, "/app_tier_upgrade_cost")),
    default_column("AppTierDowngradeCost", "$/month on lower tier", |it| cost(it, "/app_tier_downgrade_cost")),
];

fn is(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

fn yes_or_no(object: &Value, pointer: &str) -> String {
    if is(object, pointer) { "yes" } else { "no" }.to_owned()
}

/// A size, which the API sends as a string.
fn bytes(object: &Value, pointer: &str) -> String {
    let sent = text(object, pointer);
    sent.parse().map_or(sent, binary_size)
}

fn cost(object: &Value, pointer: &str) -> String {
    let cost = object.pointer(pointer).and_then(Value::as_f64).filter(|it| *it > 0.0);
    cost.map_or_else(|| "n/a".to_owned(), |it| format!("{it:.2}"))
}

fn data_centers(region: &Value) -> String {
    let all = region["data_centers"].as_array().into_iter().flatten().filter_map(Value::as_str);
    all.collect::<Vec<_>>().join(" ")
}

/// `apps-s-1vcpu-1gb <- apps-d-1vcpu-1gb`: the sizes of the other tiers around this one.
fn tier_path(size: &Value) -> String {
    let (below, above) = (text(size, "/tier_downgrade_to"), text(size, "/tier_upgrade_to"));
    let below = if below.is_empty() { below } else { format!("{below} <- ") };
    let above = if above.is_empty() { above } else { format!(" -> {above}") };
    format!("{below}{}{above}", text(size, "/slug"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The cells of the default columns.
    fn cells(columns: &[Column], object: &Value) -> Vec<String> {
        columns.iter().filter(|it| it.shown_by_default).map(|it| (it.cell)(object)).collect()
    }

    #[test]
    fn a_size_is_shown_as_by_doctl() {
        let size = json!({
            "name": "1 CPU", "slug": "apps-s-1vcpu-1gb", "cpus": "1", "cpu_type": "SHARED", "memory_bytes": "1073741824",
            "usd_per_month": "0.00", "usd_per_second": "0.00", "tier_slug": "basic",
            "tier_upgrade_to": "apps-d-1vcpu-1gb", "tier_downgrade_to": "",
        });
        let path = "apps-s-1vcpu-1gb -> apps-d-1vcpu-1gb";
        let expected = ["1 CPU", "apps-s-1vcpu-1gb", "1 shared", "1.00 GiB", "0.00", "0.00", "basic", path];
        assert_eq!(cells(INSTANCE_SIZES, &size), expected);
        let tier = json!({ "name": "Basic", "slug": "basic", "egress_bandwidth_bytes": "0", "build_seconds": "0" });
        assert_eq!(cells(TIERS, &tier), ["Basic", "basic", "0 B", "0"]);
    }

    #[test]
    fn a_region_and_a_proposal_are_shown_as_by_doctl() {
        let region = json!({ "slug": "local", "label": "This host", "data_centers": ["local"], "default": true });
        assert_eq!(cells(REGIONS, &region), ["local", "This host", "", "local", "false", "", "true"]);
        let proposal = json!({
            "app_name_available": true, "existing_static_apps": "0", "max_free_static_apps": "0", "app_cost": 0,
        });
        assert_eq!(cells(PROPOSAL, &proposal), ["yes", "no", "0 of 0 free", "0.00", "n/a", "n/a"]);
    }
}
