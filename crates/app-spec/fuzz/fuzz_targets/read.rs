//! Reads any text: nothing may panic or hang, and a spec that was read must survive writing and completing.
#![no_main]

use app_spec::{AppSpec, SecretText, routes};
use libfuzzer_sys::fuzz_target;

fn open(_: &str, secret: &SecretText) -> String {
    secret.expose().to_owned()
}

fuzz_target!(|text: &str| {
    let by_schema = AppSpec::from_yaml_schema_only(text);
    match AppSpec::from_yaml(text) {
        Err(problems) => {
            assert!(problems.has_errors());
            problems.render("app.yaml", text);
        }
        Ok(parsed) => {
            parsed.warnings.render("app.yaml", text);
            parsed.not_yet().render("app.yaml", text);
            let spec = parsed.spec;
            assert_eq!(by_schema.expect("the schema refuses less").spec, spec);
            assert_eq!(AppSpec::from_yaml(&spec.to_yaml(&open)).expect("what was written").spec, spec);
            assert_eq!(AppSpec::from_json(&spec.to_json_value(&open)).expect("what was written").spec, spec);
            let completed = spec.completed();
            assert_eq!(completed.completed(), completed);
            assert_eq!(routes(&completed), routes(&spec));
        }
    }
});
