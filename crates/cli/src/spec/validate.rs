//! `spec validate`: everything there is to say about a spec, without asking a server.

use std::path::PathBuf;

use app_spec::{AppSpec, Code, Diagnostic, Diagnostics, NeededValue, Parsed, Why};
use serde_json::{Value, json};

use super::file::{display_name, print_problems, text};
use crate::args::OutputFormat;
use crate::exit::Exit;
use crate::output;

/// Looks at each file. Text is printed as it comes; JSON is one list, an object for each file.
pub fn run(files: &[PathBuf], look: Look, output: OutputFormat) -> anyhow::Result<Exit> {
    let (mut objects, mut all_fine) = (Vec::new(), true);
    for file in files {
        let name = display_name(file);
        let read = text(file).map(|text| (Found::of(look, &text), text));
        all_fine &= matches!(&read, Ok((found, _)) if !found.has_errors());
        match (output, read) {
            (OutputFormat::Text, Ok((found, text))) => found.print(&name, &text),
            (OutputFormat::Text, Err(error)) => output::error(&format!("{error:#}")),
            (OutputFormat::Json, Ok((found, _))) => objects.push(found.json(&name)),
            (OutputFormat::Json, Err(error)) => objects.push(unreadable(&name, &error)),
        }
    }
    if output == OutputFormat::Json {
        output::result(&format!("{:#}\n", Value::from(objects)));
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

/// How closely a spec is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As `apps create` does.
    Strict,
    /// What is wrong is left out or mended.
    Lenient,
    /// Fields and their types alone.
    SchemaOnly,
}

impl Look {
    pub fn of(lenient: bool, schema_only: bool) -> Look {
        match (lenient, schema_only) {
            (_, true) => Look::SchemaOnly,
            (true, false) => Look::Lenient,
            (false, false) => Look::Strict,
        }
    }

    fn read(self, text: &str) -> Result<Parsed, Diagnostics> {
        match self {
            Look::Strict => AppSpec::from_yaml(text),
            Look::Lenient => AppSpec::from_yaml_leniently(text),
            Look::SchemaOnly => AppSpec::from_yaml_schema_only(text),
        }
    }
}

/// What there is to say about one text.
struct Found {
    look: Look,
    spec: Option<AppSpec>,
    problems: Diagnostics,
    needed: Vec<NeededValue>,
}

impl Found {
    fn of(look: Look, text: &str) -> Found {
        match look.read(text) {
            // Parts of it may be missing: what would become of it cannot be told.
            Ok(parsed) if look == Look::SchemaOnly => {
                Found { look, problems: parsed.warnings, spec: Some(parsed.spec), needed: Vec::new() }
            }
            Ok(parsed) => {
                let (problems, needed) = (parsed.remarks(), parsed.spec.needed_values());
                Found { look, spec: Some(parsed.spec), problems, needed }
            }
            Err(problems) => Found { look, spec: None, problems, needed: Vec::new() },
        }
    }

    fn has_errors(&self) -> bool {
        self.problems.has_errors()
    }

    /// Whether there is nothing wrong in it, wherever it can run.
    fn is_valid(&self) -> bool {
        let refuses = |d: &Diagnostic| d.is_error() && d.code != Code::NotYet;
        self.spec.is_some() && !self.problems.iter().any(refuses)
    }

    fn print(&self, name: &str, text: &str) {
        print_problems(&self.problems, name, text);
        for needed in &self.needed {
            output::note(&needs(needed));
        }
        match &self.spec {
            Some(spec) if !self.has_errors() => {
                let is = if self.look == Look::SchemaOnly { "fits the schema" } else { "is valid" };
                output::result(&format!("{name} {is}: {}\n", summary(spec)));
            }
            Some(_) if self.is_valid() => output::error(&format!("{name} asks for what this version cannot run")),
            Some(_) => output::error(&format!("{name} is refused; not all of it can be mended")),
            None => output::error(&format!("{name} is refused")),
        }
    }

    fn json(&self, file: &str) -> Value {
        let needed = self.needed.iter().map(|it| {
            json!({"component": it.component, "key": it.key, "path": it.path, "secret": it.secret, "why": word(it.why)})
        });
        let runs_here = (self.look != Look::SchemaOnly).then(|| !self.has_errors());
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

    const GOOD: &str = "name: shop\nservices:\n- name: web\n  image: {registry_type: DOCKER_HUB, repository: nginx}\n";

    #[test]
    fn a_good_spec_is_summed_up() {
        let spec = AppSpec::from_yaml(GOOD).expect("a good one").spec;
        assert_eq!(summary(&spec), "shop, 1 service");
    }

    #[test]
    fn programs_read_problems_and_needed_values() {
        let text = format!("{GOOD}  envs: [{{key: TOKEN, type: SECRET}}]\n  protocol: HTTP2\nregion: fra\n");
        let found = Found::of(Look::Strict, &text).json("app.yaml");
        assert_eq!((&found["valid"], &found["runs_here"]), (&json!(true), &json!(false)));
        let codes: Vec<_> = found["problems"].as_array().into_iter().flatten().map(|it| &it["code"]).collect();
        assert_eq!(codes, ["needs_value", "not_yet", "no_effect"]);
        let needed = json!([{"component": "web", "key": "TOKEN", "path": "services[0].envs[0].value", "secret": true,
            "why": "empty"}]);
        assert_eq!(found["needs_values"], needed);
        assert_eq!(found["omitted"], json!(0));
        let refused = Found::of(Look::Strict, "name: Shop\n").json("app.yaml");
        assert_eq!(refused["valid"], json!(false));
        assert_eq!(refused["problems"][0]["line"], json!(1));
    }

    #[test]
    fn programs_are_told_how_many_problems_they_do_not_see() {
        let text = format!("{GOOD}{}", (0..300).map(|i| format!("bogus{i}: 1\n")).collect::<String>());
        let found = Found::of(Look::Strict, &text).json("app.yaml");
        assert_eq!((found["problems"].as_array().map(Vec::len), &found["omitted"]), (Some(200), &json!(100)));
    }

    #[test]
    fn a_lenient_look_finds_a_mended_spec_runnable() {
        let misspelt = GOOD.replace("name: web", "nmae: web");
        assert!(Found::of(Look::Strict, &misspelt).has_errors());
        assert!(!Found::of(Look::Lenient, &misspelt).has_errors());
        let nameless = Found::of(Look::Lenient, &GOOD.replace("name: shop", "region: ams")).json("app.yaml");
        assert_eq!((&nameless["valid"], &nameless["runs_here"]), (&json!(false), &json!(false)));
    }

    #[test]
    fn a_look_at_the_schema_alone_only_warns_of_what_a_server_refuses() {
        let misnamed = GOOD.replace("name: shop", "name: Shop");
        assert!(Found::of(Look::Strict, &misnamed).has_errors());
        let found = Found::of(Look::SchemaOnly, &misnamed);
        assert!(!found.has_errors());
        let json = found.json("app.yaml");
        assert_eq!((&json["valid"], &json["runs_here"]), (&json!(true), &Value::Null));
        assert_eq!(json["problems"][0]["code"], json!("bad_name"));
        assert!(Found::of(Look::SchemaOnly, &GOOD.replace("name: web", "nmae: web")).has_errors());
    }
}
