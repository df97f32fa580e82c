//! Whether an app can be rolled back.

use controller::view::{Condition, RollbackCheck};
use serde_json::{Value, json};

use super::object::Object;

/// `error` and `warnings` are left out if there are none.
pub(crate) fn rollback_check(check: &RollbackCheck) -> Value {
    let warnings: Vec<_> = check.warnings.iter().map(condition).collect();
    Object::new()
        .set("valid", check.error.is_none())
        .maybe("error", check.error.as_ref().map(condition))
        .maybe("warnings", (!warnings.is_empty()).then_some(warnings))
        .build()
}

fn condition(it: &Condition) -> Value {
    let components: Vec<_> = it.components.iter().map(|name| name.as_str()).collect();
    json!({ "code": it.code.as_str(), "message": it.message, "components": components })
}
