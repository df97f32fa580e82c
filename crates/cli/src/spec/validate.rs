//! `spec validate`: prints all problems of a spec, without a server.

use std::path::PathBuf;

use app_spec::{AppSpec, Code, Diagnostics, NeededValue, Why};
use serde_json::{Value, json};

use super::file::{display_name, print_problems, text};
use crate::args::OutputFormat;
use crate::exit::Exit;
use crate::output;

/// Validates each file. Text is printed after each file. JSON and YAML are one list with an object for each file.
pub fn run(files: &[PathBuf], schema_only: bool, output: OutputFormat) -> anyhow::Result<Exit> {
    let (mut objects, mut all_fine) = (Vec::new(), true);
    for file in files {
        let name = display_name(file);
        let read = text(file).map(|text| (Report::of(&text, schema_only), text));
        all_fine &= matches!(&read, Ok((report, _)) if !report.has_errors());
        match (output, read) {
            (OutputFormat::Text, Ok((report, text))) => report.print(&name, &text),
            (OutputFormat::Text, Err(error)) => output::error(&format!("{error:#}")),
            (OutputFormat::Json | OutputFormat::Yaml, Ok((report, _))) => objects.push(report.json(&name)),
            (OutputFormat::Json | OutputFormat::Yaml, Err(error)) => objects.push(unreadable(&name, &error)),
        }
    }
    if let Some(document) = output.document(&Value::from(objects)) {
        output::result(&document);
    }
    Ok(if all_fine { Exit::Done } else { Exit::Failed })
}

/// The JSON object for a file that cannot be read.
fn unreadable(file: &str, error: &anyhow::Error) -> Value {
    let problem = json!({"severity": "error", "code": "unreadable", "path": "", "line": null, "column": null,
        "message": format!("{error:#}"), "help": null});
    json!({"file": file, "valid": false, "runs_here": false, "problems": [problem], "omitted": 0,
        "needs_values": []})
}

/// The result for one spec.
struct Report {
    schema_only: bool,
    spec: Option<AppSpec>,
    problems: Diagnostics,
    needed: Vec<NeededValue>,
}

impl Report {
    fn of(text: &str, schema_only: bool) -> Report {
        let read = if schema_only { AppSpec::from_yaml_schema_only } else { AppSpec::from_yaml };
        match read(text) {
            Ok(parsed) if schema_only => {
                Report { schema_only, problems: parsed.warnings, spec: Some(parsed.spec), needed: Vec::new() }
            }
            Ok(parsed) => {
                let (problems, needed) = (parsed.remarks(), parsed.spec.needed_values());
                Report { schema_only, spec: Some(parsed.spec), problems, needed }
            }
            Err(problems) => Report { schema_only, spec: None, problems, needed: Vec::new() },
        }
    }

    fn has_errors(&self) -> bool {
        self.problems.has_errors()
    }

    /// Whether the spec is valid, even if this version cannot run it.
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
            Some(_) => output::error(&format!("{name} needs a feature that this version cannot run")),
            None => output::error(&format!("{name} is not a valid spec")),
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
    fn a_valid_spec_is_summarized() {
        let spec = AppSpec::from_yaml(GOOD).expect("a good one").spec;
        assert_eq!(summary(&spec), "shop, 1 service");
    }

    #[test]
    fn json_output_has_problems_and_needed_values() {
        let text = format!("{GOOD}  envs: [{{key: TOKEN, type: SECRET}}]\n  inactivity_sleep: {{}}\nregion: fra\n");
        let report = Report::of(&text, false).json("app.yaml");
        assert_eq!((&report["valid"], &report["runs_here"]), (&json!(true), &json!(false)));
        let codes: Vec<_> = report["problems"].as_array().into_iter().flatten().map(|it| &it["code"]).collect();
        assert_eq!(codes, ["not_yet", "needs_value", "no_effect"]);
        let needed = json!([{"component": "web", "key": "TOKEN", "path": "services[0].envs[0].value", "secret": true,
            "why": "empty"}]);
        assert_eq!(report["needs_values"], needed);
        assert_eq!(report["omitted"], json!(0));
        let refused = Report::of("name: Shop\n", false).json("app.yaml");
        assert_eq!(refused["valid"], json!(false));
        assert_eq!(refused["problems"][0]["line"], json!(1));
    }

    #[test]
    fn json_output_counts_the_problems_that_it_omits() {
        let text = format!("{GOOD}{}", (0..300).map(|i| format!("bogus{i}: 1\n")).collect::<String>());
        let report = Report::of(&text, false).json("app.yaml");
        assert_eq!((report["problems"].as_array().map(Vec::len), &report["omitted"]), (Some(200), &json!(100)));
    }

    #[test]
    fn schema_only_does_not_check_rules_between_fields() {
        let two = format!(
            "{GOOD}- name: web\n  image: {{registry_type: DOCKER_HUB, registry: library, repository: nginx}}\n"
        );
        assert!(Report::of(&two, false).has_errors());
        let json = Report::of(&two, true).json("app.yaml");
        assert_eq!((&json["valid"], &json["runs_here"]), (&json!(true), &Value::Null));
        assert!(Report::of(&GOOD.replace("name: web", "nmae: web"), true).has_errors());
    }
}
