//! `spec validate`: everything there is to say about a spec, without asking a server.

use std::path::PathBuf;

use app_spec::{AppSpec, Code, Diagnostics, NeededValue, Why};
use serde_json::{Value, json};

use super::file::{display_name, print_problems, text};
use crate::args::OutputFormat;
use crate::exit::Exit;
use crate::output;

/// Checks each file. Text is printed as it comes; JSON and YAML are one list, an object for each file.
pub fn run(files: &[PathBuf], schema_only: bool, output: OutputFormat) -> anyhow::Result<Exit> {
    let (mut objects, mut all_fine) = (Vec::new(), true);
    for file in files {
        let name = display_name(file);
        let read = text(file).map(|text| (Found::of(&text, schema_only), text));
        all_fine &= matches!(&read, Ok((found, _)) if !found.has_errors());
        match (output, read) {
            (OutputFormat::Text, Ok((found, text))) => found.print(&name, &text),
            (OutputFormat::Text, Err(error)) => output::error(&format!("{error:#}")),
            (OutputFormat::Json | OutputFormat::Yaml, Ok((found, _))) => objects.push(found.json(&name)),
            (OutputFormat::Json | OutputFormat::Yaml, Err(error)) => objects.push(unreadable(&name, &error)),
        }
    }
    if let Some(document) = output.document(&Value::from(objects)) {
        output::result(&document);
    }
    Ok(if all_fine { Exit::Done } else { Exit::Failed })
}

/// A file that cannot be read, as programs are told of it.
fn unreadable(file: &str, error: &anyhow::Error) -> Value {
    let problem = json!({"severity": "error", "code": "unreadable", "path": "", "line": null, "column": null,
        "message": format!("{error:#}"), "help": null});
    json!({"file": file, "valid": false, "runs_here": false, "problems": [problem], "omitted": 0,
        "needs_values": []})
}

/// What there is to say about one text.
struct Found {
    schema_only: bool,
    spec: Option<AppSpec>,
    problems: Diagnostics,
    needed: Vec<NeededValue>,
}

impl Found {
    fn of(text: &str, schema_only: bool) -> Found {
        let read = if schema_only { AppSpec::from_yaml_schema_only } else { AppSpec::from_yaml };
        match read(text) {
            Ok(parsed) if schema_only => {
                Found { schema_only, problems: parsed.warnings, spec: Some(parsed.spec), needed: Vec::new() }
            }
            Ok(parsed) => {
                let (problems, needed) = (parsed.remarks(), parsed.spec.needed_values());
                Found { schema_only, spec: Some(parsed.spec), problems, needed }
            }
            Err(problems) => Found { schema_only, spec: None, problems, needed: Vec::new() },
        }
    }

    fn has_errors(&self) -> bool {
        self.problems.has_errors()
    }

    /// Whether there is nothing wrong in it, wherever it can run.
    fn is_valid(&self) -> bool {
        self.spec.is_some()
    }

    fn print(&self, name: &str, text: &str) {
        // The values that are needed are listed below.
        print_problems(&self.problems.clone().without(Code::NeedsValue), name, text);
        for needed in &self.needed {
            output::note(&needs(needed));
        }
        match &self.spec {
            Some(spec) if !self.has_errors() => {
                let is = if self.schema_only { "fits the schema" } else { "is valid" };
                output::result(&format!("{name} {is}: {}\n", summary(spec)));
            }
            Some(_) => output::error(&format!("{name} asks for what this version cannot run")),
            None => output::error(&format!("{name} is refused")),
        }
    }

    fn json(&self, file: &str) -> Value {
        let needed = self.needed.iter().map(|it| {
            json!({"component": it.component, "key": it.key, "path": it.path, "secret": it.secret, "why": word(it.why)})
        });
        let runs_here = (!self.schema_only).then(|| !self.has_errors());
        json!({
            "file": file,
            "valid": self.is_valid(),
            "runs_here": runs_here,
            "problems": self.problems,
            "omitted": self.problems.omitted(),
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

    const GOOD: &str = "name: shop\nservices:\n- name: web\n  image: {registry_type: DOCKER_HUB, registry: library, repository: nginx}\n";

    #[test]
    fn a_good_spec_is_summed_up() {
        let spec = AppSpec::from_yaml(GOOD).expect("a good one").spec;
        assert_eq!(summary(&spec), "shop, 1 service");
    }

    #[test]
    fn programs_read_problems_and_needed_values() {
        let text = format!("{GOOD}  envs: [{{key: TOKEN, type: SECRET}}]\n  protocol: HTTP2\nregion: fra\n");
        let found = Found::of(&text, false).json("app.yaml");
        assert_eq!((&found["valid"], &found["runs_here"]), (&json!(true), &json!(false)));
        let codes: Vec<_> = found["problems"].as_array().into_iter().flatten().map(|it| &it["code"]).collect();
        assert_eq!(codes, ["needs_value", "not_yet", "no_effect"]);
        let needed = json!([{"component": "web", "key": "TOKEN", "path": "services[0].envs[0].value", "secret": true,
            "why": "empty"}]);
        assert_eq!(found["needs_values"], needed);
        assert_eq!(found["omitted"], json!(0));
        let refused = Found::of("name: Shop\n", false).json("app.yaml");
        assert_eq!(refused["valid"], json!(false));
        assert_eq!(refused["problems"][0]["line"], json!(1));
    }

    #[test]
    fn programs_are_told_how_many_problems_they_do_not_see() {
        let text = format!("{GOOD}{}", (0..300).map(|i| format!("bogus{i}: 1\n")).collect::<String>());
        let found = Found::of(&text, false).json("app.yaml");
        assert_eq!((found["problems"].as_array().map(Vec::len), &found["omitted"]), (Some(200), &json!(100)));
    }

    #[test]
    fn the_schema_alone_says_nothing_of_rules_between_fields() {
        let two = format!(
            "{GOOD}- name: web\n  image: {{registry_type: DOCKER_HUB, registry: library, repository: nginx}}\n"
        );
        assert!(Found::of(&two, false).has_errors());
        let json = Found::of(&two, true).json("app.yaml");
        assert_eq!((&json["valid"], &json["runs_here"]), (&json!(true), &Value::Null));
        assert!(Found::of(&GOOD.replace("name: web", "nmae: web"), true).has_errors());
    }
}
