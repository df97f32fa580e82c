//! The log beside the picture: of the build, then of what the deployment starts. The script fetches its lines.

use maud::{Markup, html};

use super::facts::Facts;
use crate::ui::button::{self, Look};
use crate::ui::{card, log};

pub(super) fn markup(facts: &Facts) -> Markup {
    let actions = button::link(Look::Plain, "Open the log", &facts.log_address(""));
    let stream = facts.log_address("/stream");
    card::card(
        "log-card",
        "Log",
        actions,
        html! {
            div data-log={ (stream) "&tail=200" } {
                (log::log("log", "Log of this deployment", &[]))
                p class="hint" role="status" { span class="without-script" { "The page with all of it shows the log without JavaScript." } }
            }
        },
    )
}
