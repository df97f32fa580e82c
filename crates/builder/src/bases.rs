//! The images that a Dockerfile begins from, so that a cleared cache can fetch them again first.

/// Image references of all `FROM` lines that name an image of a registry: not `scratch`, not an earlier stage, not one
/// that depends on a build argument without a default. In order, each once.
pub(crate) fn of_dockerfile(text: &str) -> Vec<String> {
    let mut stages: Vec<String> = Vec::new();
    let mut found: Vec<String> = Vec::new();
    let mut defaults: Vec<(String, String)> = Vec::new();
    for line in logical_lines(text) {
        let mut words = line.split_whitespace();
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            // Only arguments before the first stage count in FROM lines.
            Some("ARG") if stages.is_empty() => {
                if let Some((name, value)) = words.next().and_then(|word| word.split_once('=')) {
                    defaults.push((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()));
                }
            }
            Some("FROM") => {
                let mut words = words.skip_while(|word| word.starts_with("--"));
                let Some(image) = words.next().map(|word| substituted(word, &defaults)) else { continue };
                let is_stage = stages.iter().any(|stage| stage.eq_ignore_ascii_case(&image));
                let name = words.nth(1).map_or_else(|| format!("{}", stages.len()), str::to_owned);
                stages.push(name);
                if !is_stage && image != "scratch" && !image.contains('$') && !found.contains(&image) {
                    found.push(image);
                }
            }
            _ => {}
        }
    }
    found
}

/// Lines with their continuations joined, comments left out.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        match line.strip_suffix('\\') {
            Some(begun) => open.push_str(begun),
            None => lines.push(std::mem::take(&mut open) + line),
        }
    }
    lines
}

fn substituted(word: &str, defaults: &[(String, String)]) -> String {
    defaults.iter().fold(word.to_owned(), |word, (name, value)| {
        word.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_registries_are_found_and_stages_are_not() {
        let cases: [(&str, &[&str]); 7] = [
            ("FROM debian:12\nRUN true", &["debian:12"]),
            ("from scratch\nCOPY a /a", &[]),
            (
                "FROM golang:1.22 AS build\nFROM build AS test\nFROM debian:12\nCOPY --from=build /a /a",
                &["golang:1.22", "debian:12"],
            ),
            ("FROM --platform=linux/amd64 node:20", &["node:20"]),
            ("ARG BASE=python:3.12\nFROM ${BASE}\nFROM $BASE", &["python:3.12"]),
            ("ARG BASE\nFROM $BASE", &[]),
            ("# FROM nothing\nFROM \\\n  alpine:3", &["alpine:3"]),
        ];
        for (text, expected) in cases {
            assert_eq!(of_dockerfile(text), expected, "{text}");
        }
    }
}
