//! Finds the registry images that a build starts from, so that a build without cache can pull them first.
//!
//! BuildKit decides what a Dockerfile means. This module parses it with a crate, follows only the stages that the final
//! stage needs, and leaves out everything uncertain: the build resolves images that are not pulled here.

use std::collections::{BTreeMap, BTreeSet};

use parse_dockerfile::{Dockerfile, Instruction, Source, Stage};

/// The registry images that a build of this Dockerfile uses, in order and without duplicates. Stages that the final
/// stage does not need are ignored, as in BuildKit. Left out: references pinned by digest, which cannot be outdated,
/// images of another platform, and everything that depends on another syntax. `args` are the build arguments.
pub(crate) fn of_dockerfile(text: &str, args: &BTreeMap<String, String>) -> Vec<String> {
    let Ok(dockerfile) = parse_dockerfile::parse(text) else { return Vec::new() };
    if !has_known_syntax(&dockerfile, args) {
        return Vec::new();
    }
    let variables = global_variables(&dockerfile, args);
    let stages: Vec<Stage<'_, '_>> = dockerfile.stages().collect();
    let mut images = BTreeMap::new();
    let mut needed: BTreeSet<usize> = stages.len().checked_sub(1).into_iter().collect();
    // A stage may also copy from a later one, so every stage that becomes needed is processed.
    let mut waiting: Vec<usize> = needed.iter().copied().collect();
    while let Some(index) = waiting.pop() {
        for (position, input) in inputs(&stages, index, &variables).into_iter().enumerate() {
            match input {
                Input::Stage(stage) if needed.insert(stage) => waiting.push(stage),
                Input::Stage(_) => {}
                Input::Image(image) => drop(images.insert((index, position), image)),
            }
        }
    }
    let mut seen = BTreeSet::new();
    images.into_values().filter(|image| may_be_stale(image) && seen.insert(image.clone())).collect()
}

/// Whether the Dockerfile has here-documents.
pub(crate) fn has_heredocs(text: &str) -> bool {
    let Ok(dockerfile) = parse_dockerfile::parse(text) else { return false };
    let is_heredoc = |source: &Source<'_>| matches!(source, Source::HereDoc(_));
    dockerfile.instructions.iter().any(|instruction| match instruction {
        Instruction::Run(run) => !run.here_docs.is_empty(),
        Instruction::Copy(copy) => copy.src.iter().any(is_heredoc),
        Instruction::Add(add) => add.src.iter().any(is_heredoc),
        _ => false,
    })
}

/// Another frontend may interpret `FROM` differently.
fn has_known_syntax(dockerfile: &Dockerfile<'_>, args: &BTreeMap<String, String>) -> bool {
    let directive = dockerfile.parser_directives.syntax.as_ref().map(|syntax| syntax.value.value);
    let Some(syntax) = args.get("BUILDKIT_SYNTAX").map(String::as_str).or(directive) else { return true };
    let name = syntax.trim().trim_start_matches("docker.io/");
    name.split([':', '@']).next().is_some_and(|name| matches!(name, "docker/dockerfile" | "docker/dockerfile-upstream"))
}

/// An input of a stage.
enum Input {
    Stage(usize),
    Image(String),
}

/// The inputs of stage `index`: its base, and what its instructions copy or mount, as far as that is certain.
fn inputs(stages: &[Stage<'_, '_>], index: usize, variables: &Variables) -> Vec<Input> {
    let stage = &stages[index];
    let mut found = Vec::new();
    if let Some(base) = expand(&stage.from.image.value, variables) {
        // `FROM` can refer only to earlier stages.
        match named(&stages[..index], &base) {
            Some(earlier) => found.push(Input::Stage(earlier)),
            None if is_native(stage, variables) => found.push(Input::Image(base)),
            None => {}
        }
    }
    for source in stage.instructions.iter().flat_map(copied_from) {
        // BuildKit does not expand variables here, so a `$` remains and the name is not a valid image name.
        let by_index = source.parse().ok().filter(|number| *number < stages.len());
        found.push(match by_index.or_else(|| named(stages, &source)) {
            Some(stage) => Input::Stage(stage),
            None => Input::Image(source),
        });
    }
    found
}

fn named(stages: &[Stage<'_, '_>], name: &str) -> Option<usize> {
    let has_name = |stage: &Stage<'_, '_>| {
        stage.from.as_.as_ref().is_some_and(|(_, its_name)| its_name.value.eq_ignore_ascii_case(name))
    };
    stages.iter().position(has_name)
}

/// Whether the stage's base is for the engine's own platform. The engine pulls images of other platforms only on
/// request.
fn is_native(stage: &Stage<'_, '_>, variables: &Variables) -> bool {
    let platform = stage.from.options.iter().find(|option| option.name.value == "platform");
    let Some(platform) = platform.and_then(|option| option.value.as_ref()) else { return true };
    expand(&platform.value, variables).is_some_and(|platform| variables.get("TARGETPLATFORM") == Some(&platform))
}

/// The stages and images named by `COPY --from` and by `from` of `RUN --mount`.
fn copied_from(instruction: &Instruction<'_>) -> Vec<String> {
    let (option_name, options) = match instruction {
        Instruction::Copy(copy) => ("from", &copy.options),
        Instruction::Run(run) => ("mount", &run.options),
        _ => return Vec::new(),
    };
    let values = options.iter().filter(|option| option.name.value == option_name).filter_map(|it| it.value.as_ref());
    let source = |value: &str| match option_name {
        "mount" => value.split(',').find_map(|field| field.trim().strip_prefix("from=")).map(str::to_owned),
        _ => Some(value.to_owned()),
    };
    values.filter_map(|value| source(&value.value)).collect()
}

/// The variables that `FROM` may use. A variable declared without a value is absent here as well.
type Variables = BTreeMap<String, String>;

/// The platform variables and the arguments declared before the first stage, in order: a value may use earlier ones,
/// and a build argument replaces the default of a declared one.
fn global_variables(dockerfile: &Dockerfile<'_>, args: &BTreeMap<String, String>) -> Variables {
    let mut variables = platform_variables();
    for argument in dockerfile.global_args() {
        for word in words(&argument.arguments.value) {
            let (name, default) = word.split_once('=').map_or((word.as_str(), None), |(name, it)| (name, Some(it)));
            let value = args.get(name).cloned().or_else(|| default.and_then(|it| expand(it, &variables)));
            match (value, default) {
                (Some(value), _) => drop(variables.insert(name.to_owned(), value)),
                // The default is uncertain. The `$` makes every reference that uses it invalid, so it is left to the
                // build.
                (None, Some(_)) => drop(variables.insert(name.to_owned(), "$".to_owned())),
                (None, None) => {}
            }
        }
    }
    variables
}

/// The engine runs on this host, so it has the platform of this program.
fn platform_variables() -> Variables {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let platform = format!("linux/{architecture}");
    let values = [("PLATFORM", platform.as_str()), ("OS", "linux"), ("ARCH", architecture)];
    ["TARGET", "BUILD"]
        .into_iter()
        .flat_map(|side| values.map(|(name, value)| (format!("{side}{name}"), value.to_owned())))
        .collect()
}

/// The words of an `ARG` line, with their quotes. Spaces inside quotes do not separate words.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match quote {
            None if c.is_whitespace() => {
                words.push(String::new());
                continue;
            }
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if open == c => quote = None,
            _ => {}
        }
        words.last_mut().expect("the list is never empty").push(c);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Replaces variables and removes quotes as BuildKit does in `FROM`. `None` for escapes and for substitutions other
/// than `$A`, `${A}`, `${A:-b}`, `${A-b}`, `${A:+b}` and `${A+b}`.
fn expand(text: &str, variables: &Variables) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    let mut is_double_quoted = false;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' | '`' => return None,
            '"' => is_double_quoted = !is_double_quoted,
            '\'' if !is_double_quoted => {
                let (literal, behind) = rest.split_once('\'')?;
                out.push_str(literal);
                rest = behind;
            }
            '$' => {
                let (value, behind) = substitute(rest, variables)?;
                out.push_str(&value);
                rest = behind;
            }
            c => out.push(c),
        }
    }
    (!is_double_quoted).then_some(out)
}

/// The value of the variable at the start of `text`, and the rest. `text` starts after the `$`.
fn substitute<'a>(text: &'a str, variables: &Variables) -> Option<(String, &'a str)> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name_end = |text: &str| text.find(|c| !in_name(c)).unwrap_or(text.len());
    let Some(inside) = text.strip_prefix('{') else {
        let (name, behind) = text.split_at(name_end(text));
        let value = variables.get(name).cloned().unwrap_or_default();
        return (!name.is_empty()).then_some((value, behind));
    };
    let (name, modifier) = inside.split_at(name_end(inside));
    let end = closing_brace(modifier)?;
    let (modifier, behind) = (&modifier[..end], &modifier[end + 1..]);
    let value = variables.get(name);
    let given = |also_if_empty: bool| value.filter(|value| also_if_empty || !value.is_empty());
    let (is_default, given, word) = match modifier.as_bytes() {
        [] => return Some((value.cloned().unwrap_or_default(), behind)),
        [b':', b'-', ..] => (true, given(false), &modifier[2..]),
        [b':', b'+', ..] => (false, given(false), &modifier[2..]),
        [b'-', ..] => (true, given(true), &modifier[1..]),
        [b'+', ..] => (false, given(true), &modifier[1..]),
        _ => return None,
    };
    let value = match (is_default, given) {
        (true, Some(value)) => value.clone(),
        (true, None) | (false, Some(_)) => expand(word, variables)?,
        (false, None) => String::new(),
    };
    Some((value, behind))
}

/// The position of the brace that closes the one before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// Whether this is an image name, and a registry could have a newer image under it.
fn may_be_stale(image: &str) -> bool {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"._-/:".contains(&b);
    let is_complete = !image.is_empty() && !image.ends_with([':', '/']) && !image.starts_with([':', '/']);
    is_complete && image != "scratch" && image.bytes().all(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bases(text: &str, args: &[(&str, &str)]) -> Vec<String> {
        of_dockerfile(text, &args.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn registry_images_are_found_and_stages_are_not() {
        let cases: [(&str, &[&str]); 12] = [
            ("FROM debian:12\nRUN true", &["debian:12"]),
            ("from scratch\nCOPY a /a", &[]),
            (
                "FROM golang:1.22 AS build\nFROM build AS test\nFROM debian:12\nCOPY --from=build /a /a",
                &["golang:1.22", "debian:12"],
            ),
            ("FROM a:1 AS build\nFROM debian:12\nCOPY --from=0 /a /a\nCOPY --from=BUILD /a /b", &["a:1", "debian:12"]),
            ("FROM debian:12\nCOPY --from=nginx:1.27 /etc/nginx /etc/nginx", &["debian:12", "nginx:1.27"]),
            (
                "FROM debian:12\nRUN --mount=type=bind,from=tools:2,target=/t --mount=type=cache,target=/c cp /t/x /x",
                &["debian:12", "tools:2"],
            ),
            ("FROM debian:12\nCOPY --from=later /a /a\nFROM b:1 AS later\nFROM debian:12", &["debian:12"]),
            ("# FROM nothing\nFROM \\\n# between\n  alpine:3", &["alpine:3"]),
            ("# escape=`\nFROM `\n  alpine:3\nRUN dir C:\\\nRUN x", &["alpine:3"]),
            ("FROM python:3\nFROM python:3", &["python:3"]),
            ("FROM python AS python\nFROM python", &["python"]),
            ("FROM alpine@sha256:0000000000000000000000000000000000000000000000000000000000000000", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(bases(text, &[]), expected, "{text}");
        }
    }

    #[test]
    fn images_of_unneeded_stages_are_not_pulled() {
        let text = "FROM huge/tests:1 AS test\nRUN true\nFROM a:1 AS build\nFROM b:1\nCOPY --from=build /x /x";
        assert_eq!(bases(text, &[]), ["a:1", "b:1"]);
    }

    #[test]
    fn text_in_a_heredoc_is_not_an_instruction() {
        let text = "FROM python:3\nRUN <<SQL cat > /app/report.sql\nSELECT id, name\nFROM customers\nSQL\n\
                    COPY <<-'EOT' /x\n\tFROM orders\n\tEOT\nCMD [\"x\"]";
        assert_eq!(bases(text, &[]), ["python:3"]);
    }

    #[test]
    fn variables_are_expanded_as_in_buildkit() {
        let cases: [(&str, &[&str]); 19] = [
            ("ARG BASE=python:3.12\nFROM ${BASE}\nFROM $BASE", &["python:3.12"]),
            // The first name is a prefix of the second.
            ("ARG PYTHON=3\nARG PYTHON_IMAGE=local/python:3\nFROM $PYTHON_IMAGE", &["local/python:3"]),
            (
                "ARG REGISTRY=r.example/\nARG TAG=3\nARG IMAGE=${REGISTRY}python:$TAG\nFROM $IMAGE",
                &["r.example/python:3"],
            ),
            ("ARG A=python B=3\nFROM $A:$B", &["python:3"]),
            ("ARG A=\"python:3\"\nFROM \"$A\"", &["python:3"]),
            ("ARG A='py$thon'\nFROM $A", &[]),
            ("ARG TAG\nFROM python:${TAG:-3}", &["python:3"]),
            ("ARG TAG=\nFROM python:${TAG:-3}", &["python:3"]),
            ("ARG TAG=4\nFROM python:${TAG:-3}", &["python:4"]),
            ("ARG TAG\nARG ALT=5\nFROM python:${TAG:-${ALT}}", &["python:5"]),
            ("ARG SLIM=1\nFROM python:3${SLIM:+-slim}", &["python:3-slim"]),
            ("ARG SLIM\nFROM python:3${SLIM:+-slim}", &["python:3"]),
            ("ARG TAG=\nFROM python:3${TAG+-x}", &["python:3-x"]),
            // Uncertain or empty: left to the build.
            ("ARG BASE\nFROM $BASE", &[]),
            ("ARG TAG\nFROM python:$TAG", &[]),
            ("ARG TAG=3.12\nFROM python:${TAG%.*}", &[]),
            ("FROM python:\\$X", &[]),
            // `FROM` cannot use an argument declared inside a stage.
            ("FROM a:1\nARG B=b:1\nFROM ${B:-c:1}", &["c:1"]),
            ("ARG BUILD=a:1\nFROM $BUILD AS build\nFROM build", &["a:1"]),
        ];
        for (text, expected) in cases {
            assert_eq!(bases(text, &[]), expected, "{text}");
        }
    }

    #[test]
    fn a_build_argument_replaces_the_default_of_a_declared_one() {
        let text = "ARG BASE_IMAGE=registry.invalid/team/python:3\nFROM ${BASE_IMAGE}";
        assert_eq!(bases(text, &[("BASE_IMAGE", "local/python:3")]), ["local/python:3"]);
        assert_eq!(bases("FROM ${BASE:-a:1}", &[("BASE", "b:1")]), ["a:1"], "BASE is not declared");
        assert_eq!(bases("ARG TAG\nFROM a:${TAG:-1}", &[("TAG", "2")]), ["a:2"]);
        // A build argument is used as is.
        assert_eq!(bases("ARG X=y\nARG BASE\nFROM $BASE", &[("BASE", "$X")]), [""; 0]);
    }

    #[test]
    fn images_of_another_platform_are_left_to_the_build() {
        let native = &platform_variables()["TARGETPLATFORM"];
        assert_eq!(bases("FROM --platform=$BUILDPLATFORM node:20", &[]), ["node:20"]);
        assert_eq!(bases(&format!("FROM --platform={native} node:20"), &[]), ["node:20"]);
        assert_eq!(bases("FROM --platform=linux/s390x node:20", &[]), [""; 0]);
        assert_eq!(bases("ARG P=linux/s390x\nFROM --platform=$P node:20", &[]), [""; 0]);
    }

    #[test]
    fn text_that_is_not_a_dockerfile_is_left_to_the_build() {
        assert_eq!(bases("FORM debian:12", &[]), [""; 0]);
        assert_eq!(bases("", &[]), [""; 0]);
        assert_eq!(bases("# syntax=example/own-frontend:1\nFROM debian:12", &[]), [""; 0]);
        assert_eq!(bases("# syntax=docker/dockerfile:1.7\nFROM debian:12", &[]), ["debian:12"]);
        assert_eq!(bases("FROM debian:12", &[("BUILDKIT_SYNTAX", "example/own-frontend")]), [""; 0]);
    }
}
