//! Writes the text of a Dockerfile. The frontends of all engines since 20.10 read it: it has no here-documents and no
//! `# syntax` line.

use crate::request::Request;

/// A Dockerfile that grows line by line.
pub(crate) struct Dockerfile<'a> {
    request: &'a Request<'a>,
    text: String,
}

impl<'a> Dockerfile<'a> {
    /// `because`: the comment in the first line.
    pub fn new(request: &'a Request<'a>, because: &str) -> Self {
        Self { request, text: format!("# {because}\n") }
    }

    /// Begins a stage that builds. It gets the variables of the build.
    pub fn build_stage(&mut self, base: &str, version: &str, name: &str) {
        self.line(&format!("\nFROM {} AS {name}", self.request.bases.image(base, version)));
        for key in &self.request.build_args {
            self.line(&format!("ARG {key}"));
        }
    }

    /// Begins the last stage, which runs. It gets no variable of the build, so that none is in the image's history.
    pub fn final_stage(&mut self, base: &str, version: &str) {
        self.line(&format!("\nFROM {}", self.request.bases.image(base, version)));
    }

    /// Adds a line as it is.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Runs a shell command in a stage that builds, with the build's secrets as variables. `caches`: directories that
    /// survive from build to build, for example those of a package manager.
    pub fn run(&mut self, command: &str, caches: &[&str]) {
        let mut line = "RUN".to_owned();
        for target in caches {
            let id = format!("{}{}", self.request.cache_scope, target.replace('/', "-"));
            line.push_str(&format!(" --mount=type=cache,id={id},target={target},sharing=locked"));
        }
        for key in &self.request.build_secrets {
            line.push_str(&format!(" --mount=type=secret,id={key}"));
        }
        // A secret that the build was not given is not mounted.
        let exports = self.request.build_secrets.iter();
        let exports: String = exports
            .map(|key| {
                format!("if [ -f /run/secrets/{key} ]; then {key}=\"$(cat /run/secrets/{key})\"; export {key}; fi; ")
            })
            .collect();
        let command = format!("{exports}{}", command.trim());
        // A line break would end the instruction, and these marks would change its meaning.
        let is_plain = !command.contains(['\n', '\r']) && !command.contains("<<") && !command.starts_with(['[', '-']);
        if is_plain && !command.ends_with('\\') {
            self.line(&format!("{line} {command}"));
        } else {
            let script = serde_json::json!(["/bin/sh", "-c", format!("set -e\n{command}")]);
            self.line(&format!("{line} {script}"));
        }
    }

    /// The default command of the image. A shell expands its variables and then becomes the program.
    pub fn start(&mut self, command: &str) {
        self.line(&format!("CMD {}", serde_json::json!(["/bin/sh", "-c", command])));
    }

    /// The finished text.
    pub fn text(self) -> String {
        self.text
    }
}
