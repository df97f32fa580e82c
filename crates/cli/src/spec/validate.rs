//! `spec validate`: everything there is to say about a spec, without asking a server.

use std::path::Path;

use app_spec::{AppSpec, Diagnostics, NeededValue, Parsed, Why};
use serde_json::{Value, json};

use super::file::{shown, tell, text};
use crate::args::Form;
use crate::exit::Exit;
use crate::say;

pub fn run(file: &Path, lenient: bool, output: Form) -> anyhow::Result<Exit> {
    let text = text(file)?;
    let outcome = if lenient { AppSpec::from_yaml_leniently(&text) } else { AppSpec::from_yaml(&text) };
    let found = Found::of(outcome);
    match output {
        Form::Json => say::result(&format!("{:#}\n", found.json())),
        Form::Text => found.print(&shown(file), &text),
    }
    Ok(if found.is_runnable() { Exit::Done } else { Exit::Failed })
}

/// What there is to say about one text.
struct Found {
    spec: Option<AppSpec>,
    /// In the order of telling: what was read, what has no effect, what cannot run.
    problems: Vec<Diagnostics>,
    needed: Vec<NeededValue>,
}

impl Found {
    fn of(outcome: Result<Parsed, Diagnostics>) -> Found {
        match outcome {
            Ok(parsed) => {
                let problems = vec![parsed.warnings.clone(), parsed.no_effect(), parsed.not_yet()];
                let needed = parsed.spec.needed_values();
                Found { spec: Some(parsed.spec), problems, needed }
            }
            Err(problems) => Found { spec: None, problems: vec![problems], needed: Vec::new() },
        }
    }

    fn is_runnable(&self) -> bool {
        !self.problems.iter().any(Diagnostics::has_errors)
    }

    fn print(&self, name: &str, text: &str) {
        for problems in &self.problems {
            tell(problems, name, text);
        }
        for needed in &self.needed {
            say::note(&say::plain(&needs(needed)));
        }
        match &self.spec {
            Some(spec) if self.is_runnable() => say::result(&format!("{name} is valid: {}\n", summary(spec))),
            Some(_) => say::error(&format!("{name} asks for what this version cannot run")),
            None => say::error(&format!("{name} is refused")),
        }
    }

    fn json(&self) -> Value {
        let needed = self.needed.iter().map(|it| {
            json!({"component": it.component, "key": it.key, "path": it.path, "secret": it.secret, "why": word(it.why)})
        });
        json!({
            "valid": self.spec.is_some(),
            "runs_here": self.is_runnable(),
            "problems": self.problems.iter().flatten().collect::<Vec<_>>(),
            "needs_values": needed.collect::<Vec<_>>(),
        })
    }
}

/// `needs a value: TOKEN of web (services[0].envs[2].value)`.
fn needs(needed: &NeededValue) -> String {
    let owner = needed.component.as_ref().map(|component| format!(" of {component}")).unwrap_or_default();
    format!("needs a value: {}{owner} ({})", needed.key, needed.path)
}

fn word(why: Why) -> &'static str {
    match why {
        Why::Empty => "empty",
        Why::Placeholder => "placeholder",
        Why::SealedElsewhere => "sealed_elsewhere",
    }
}

/// `shop, 2 services, 1 worker, 1 database`.
fn summary(spec: &AppSpec) -> String {
    let counts = [
        ("service", spec.services.len()),
        ("worker", spec.workers.len()),
        ("job", spec.jobs.len()),
        ("static site", spec.static_sites.len()),
        ("function", spec.functions.len()),
        ("database", spec.databases.len()),
    ];
    let some = counts.iter().filter(|(_, count)| *count > 0);
    let words = some.map(|(noun, count)| format!("{count} {noun}{}", if *count == 1 { "" } else { "s" }));
    [spec.name.clone()].into_iter().chain(words).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: shop\nservices:\n- name: web\n  image: {registry_type: DOCKER_HUB, repository: nginx}\n";

    #[test]
    fn a_good_spec_is_summed_up() {
        let spec = AppSpec::from_yaml(GOOD).expect("a good one").spec;
        assert_eq!(summary(&spec), "shop, 1 service");
    }

    #[test]
    fn programs_read_problems_and_needed_values() {
        let text = format!("{GOOD}  envs: [{{key: TOKEN, type: SECRET}}]\n  protocol: HTTP2\nregion: fra\n");
        let found = Found::of(AppSpec::from_yaml(&text)).json();
        assert_eq!((&found["valid"], &found["runs_here"]), (&json!(true), &json!(false)));
        let codes: Vec<_> = found["problems"].as_array().into_iter().flatten().map(|it| &it["code"]).collect();
        assert_eq!(codes, ["needs_value", "no_effect", "not_yet"]);
        let needed = json!([{"component": "web", "key": "TOKEN", "path": "services[0].envs[0].value", "secret": true,
            "why": "empty"}]);
        assert_eq!(found["needs_values"], needed);
        let refused = Found::of(AppSpec::from_yaml("name: Shop\n")).json();
        assert_eq!(refused["valid"], json!(false));
        assert_eq!(refused["problems"][0]["line"], json!(1));
    }

    #[test]
    fn a_lenient_look_finds_a_mended_spec_runnable() {
        let misspelt = GOOD.replace("name: web", "nmae: web");
        assert!(!Found::of(AppSpec::from_yaml(&misspelt)).is_runnable());
        assert!(Found::of(AppSpec::from_yaml_leniently(&misspelt)).is_runnable());
    }
}
