//! Times. The server writes the time itself, and the script turns it into "2 min ago" and keeps that right. So the same
//! fragment stays the same until something happens.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// When something happened: "2 min ago", or the time in UTC without JavaScript.
pub fn ago(at: DateTime<Utc>) -> Markup {
    time(at, "ago")
}

/// For how long something has lasted: "12 s", or the time of its beginning without JavaScript.
pub fn since(at: DateTime<Utc>) -> Markup {
    time(at, "since")
}

fn time(at: DateTime<Utc>, kind: &str) -> Markup {
    let full = at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(present::rfc3339(at)) title=(full) data-time=(kind) { (full) } }
}

/// Text that a screen reader reads out whenever it changes, such as a deployment's phase.
pub fn announce(text: &str) -> Markup {
    html! { span class="unseen" data-announce { (text) } }
}
