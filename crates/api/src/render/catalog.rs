//! App Platform's catalog for one host: one region, sizes that are limits, and prices of 0.
//!
//! Numbers of sizes and tiers are strings, because godo otherwise rejects the whole answer.

use app_spec::InstanceSize;
use controller::derived_id;
use controller::view::{TokenScope, TokenView};
use serde_json::{Value, json};

/// The host as the only region.
pub(crate) fn region() -> Value {
    json!({ "slug": "local", "label": "This host", "flag": "", "continent": "", "data_centers": ["local"], "disabled": false, "default": true })
}

pub(crate) fn regions() -> Value {
    json!({ "regions": [region()] })
}

const TIERS: [(&str, &str); 3] = [("starter", "Starter"), ("basic", "Basic"), ("professional", "Professional")];

pub(crate) fn tiers() -> Value {
    json!({ "tiers": TIERS.map(|(slug, name)| tier_of(slug, name)) })
}

pub(crate) fn tier(slug: &str) -> Option<Value> {
    let (slug, name) = TIERS.iter().find(|(known, _)| *known == slug)?;
    Some(json!({ "tier": tier_of(slug, name) }))
}

fn tier_of(slug: &str, name: &str) -> Value {
    json!({ "slug": slug, "name": name, "egress_bandwidth_bytes": "0", "build_seconds": "0" })
}

pub(crate) fn instance_sizes() -> Value {
    let sizes: Vec<_> = app_spec::instance_sizes().iter().map(size).collect();
    json!({ "instance_sizes": sizes, "discount_percent": 0 })
}

pub(crate) fn instance_size(slug: &str) -> Option<Value> {
    Some(json!({ "instance_size": size(app_spec::instance_size(slug)?) }))
}

fn size(size: &InstanceSize) -> Value {
    let mib = size.memory_bytes / (1024 * 1024);
    // The size of the other tier with as many CPUs and as much memory.
    let is_alike = |it: &&InstanceSize| {
        (it.cpu_millis, it.memory_bytes, it.deprecated) == (size.cpu_millis, size.memory_bytes, false)
            && it.dedicated != size.dedicated
    };
    let other_tier = app_spec::instance_sizes().iter().rfind(is_alike).map_or("", |it| it.slug);
    let (upgrade, downgrade) = if size.dedicated { ("", other_tier) } else { (other_tier, "") };
    json!({
        "slug": size.slug,
        "name": format!("{} CPU, {mib} MiB, limited by the host", size.cpu_millis / 1000),
        "cpu_type": if size.dedicated { "DEDICATED" } else { "SHARED" },
        "cpus": (size.cpu_millis / 1000).to_string(),
        "memory_bytes": size.memory_bytes.to_string(),
        "usd_per_month": "0.00",
        "usd_per_second": "0.00",
        "tier_upgrade_to": upgrade,
        "tier_downgrade_to": downgrade,
        "tier_slug": if size.dedicated { "professional" } else { "basic" },
        "scalable": !size.single_instance_only,
        "single_instance_only": size.single_instance_only,
        "deprecation_intent": size.deprecated,
        "bandwidth_allowance_gib": "0",
    })
}

/// The id of the account, which owns everything in an installation.
pub(crate) fn owner_id(installation: &str) -> String {
    derived_id(&["account", installation])
}

/// The account, as the token of this name sees it.
pub(crate) fn account(installation: &str, token: &str) -> Value {
    let owner = owner_id(installation);
    json!({ "account": {
        "droplet_limit": 0, "floating_ip_limit": 0, "reserved_ip_limit": 0, "volume_limit": 0,
        "email": EMAIL, "name": token, "uuid": owner, "email_verified": true,
        "status": "active", "status_message": "",
        "team": { "name": "boatyard", "uuid": owner },
    } })
}

/// The email address of every user. Boatyard has tokens, and no users.
pub(crate) const EMAIL: &str = "admin@localhost";

/// What `doctl auth init --token-validation-server` reads. `token`: the created token; `None`: the admin token, which never
/// expires, and of which no record says when it was created. 0 seconds mean that the token never expires.
pub(crate) fn token_info(installation: &str, token: Option<&TokenView>) -> Value {
    let scopes: &[&str] = match token.map(|it| it.scope) {
        Some(TokenScope::Read) => &["read"],
        Some(TokenScope::Write) | None => &["read", "write"],
    };
    // A token with less than a second left must not look like one that never expires.
    let remaining = token.and_then(|it| it.remaining).map_or(0, |it| it.as_secs().max(1));
    json!({
        "resource_owner_id": 1,
        "scopes": scopes,
        "expires_in_seconds": remaining,
        "created_at": token.map_or(0, |it| it.created.0 / 1000),
        "application": { "uid": installation },
    })
}
