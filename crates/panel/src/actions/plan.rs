//! What a request would do, in words.

use controller::ControlError;
use controller::view::Preview;
use maud::{Markup, html};
use present::{InstanceChanges, Plan};

use crate::ui::notice;

/// The plan of a request, after notices that depend on the choice as the plan does. Its id is `plan`, so that the script
/// replaces it when the choice changes. An error says why the request would be refused.
pub(crate) fn plan(title: &str, notices: Markup, preview: Result<Preview, ControlError>) -> Markup {
    let content = match preview {
        Ok(preview) => described(title, &read(preview)),
        Err(error) => notice::error("This would be refused", &error.to_string()),
    };
    html! { div id="plan" class="stack" { (notices) (content) } }
}

fn described(title: &str, plan: &Plan) -> Markup {
    html! {
        div class="plan" {
            h3 { (title) }
            p { strong { (plan.summary().unwrap_or_else(|| "No instance is replaced.".into())) } }
            @for change in &plan.changes { p { code { (change) } } }
            details {
                summary { (present::text::counted(plan.steps.len() as u64, "step")) }
                ol { @for step in &plan.steps { li { (step) } } }
            }
        }
    }
}

fn read(it: Preview) -> Plan {
    let changes = |it: controller::view::InstanceChanges| InstanceChanges {
        component: it.component.to_string(),
        created: it.created as u64,
        removed: it.removed as u64,
    };
    Plan {
        changes: it.changes,
        steps: it.steps,
        needs_values: it.needs_values,
        instances: it.instances.into_iter().map(changes).collect(),
    }
}
