//! Writes the text of a Dockerfile. The frontends of all engines since 20.10 read it: it has no here-documents and no
//! `# syntax` line.

use crate::bases::Base;
use crate::build_variables;
use crate::project::Project;
use crate::request::{Kind, Request};

/// Where the app lies in every stage, as on App Platform.
pub(crate) const WORKDIR: &str = "/workspace";

/// Begins the ids of caches. [`crate::Detected::for_app`] replaces it, so that apps do not share caches.
pub(crate) const ANY_APP: &str = "--mount=type=cache,id=app-";

/// A Dockerfile that grows line by line.
pub(crate) struct Dockerfile<'a> {
    project: &'a Project,
    request: &'a Request<'a>,
    text: String,
}

impl<'a> Dockerfile<'a> {
    /// `because`: the comment in the first line.
    pub fn new(project: &'a Project, request: &'a Request<'a>, because: &str) -> Self {
        let mut dockerfile = Self { project, request, text: String::new() };
        dockerfile.comment(because);
        dockerfile
    }

    /// Begins a stage that builds, in [`WORKDIR`]. It gets the variables of the build that an installation may read.
    pub fn build_stage(&mut self, base: &Base, version: &str, name: &str) {
        self.stage(&self.request.bases.build_image(base, version), name);
    }

    /// Begins a stage on an image or an earlier stage, likewise.
    pub fn stage(&mut self, image: &str, name: &str) {
        self.line(&format!("\nFROM {image} AS {name}"));
        self.variables(true);
        self.line(&format!("WORKDIR {WORKDIR}"));
    }

    /// Copies the source. From here on, the stage gets all variables of the build. They come no earlier, because a new
    /// value, for example of a commit hash, makes the engine run all later steps again.
    pub fn copy_sources(&mut self) {
        self.variables(false);
        self.line("COPY . .");
    }

    fn variables(&mut self, of_installation: bool) {
        let request = self.request;
        for key in request
            .build_args
            .iter()
            .filter(|it| build_variables::is_for_installation(self.project, it) == of_installation)
        {
            self.line(&format!("ARG {key}"));
        }
    }

    /// Begins a stage that others continue, the last one too. So it gets no variable of the build.
    pub fn shared_stage(&mut self, base: &Base, version: &str, name: &str) {
        self.line(&format!("\nFROM {} AS {name}", self.request.bases.run_image(base, version)));
    }

    /// Begins the last stage, which runs. It gets no variable of the build, so that none is in the image's history.
    /// Call [`Self::user`] before anything is copied to it.
    pub fn final_stage(&mut self, base: &Base, version: &str) {
        self.final_stage_from(&self.request.bases.run_image(base, version));
    }

    /// Begins the last stage on an image or an earlier stage that has no variables of the build.
    pub fn final_stage_from(&mut self, image: &str) {
        self.line(&format!("\nFROM {image}"));
        // The platform sets the variable too. Without it, the image would run on the platform only.
        if self.request.kind == Kind::Service {
            self.line("ENV PORT=8080");
        }
    }

    /// Adds the last stage of a static site. It holds only the files of a directory of an earlier stage, and does not run.
    /// The platform finds them below [`WORKDIR`], as in the image of any Dockerfile.
    pub fn files_only(&mut self, stage: &str, from: &str, to: &str) {
        self.line("\nFROM scratch");
        self.line(&format!("WORKDIR {WORKDIR}"));
        // `[…]`, because names may contain spaces. Variables have no meaning in a name.
        self.line(&format!("COPY --from={stage} {}", serde_json::json!([format!("{from}/"), to.replace('$', "\\$")])));
    }

    /// Makes the user `app`, who owns [`WORKDIR`]. [`Self::copy_app`] copies for this user, and [`Self::start`] runs as it.
    pub fn user(&mut self) {
        // Official images of languages have a user of their own with the identifier 1000.
        self.line(&format!(
            "RUN useradd --create-home --uid 2000 app && install --directory --owner=app --group=app {WORKDIR}"
        ));
        self.line(&format!("WORKDIR {WORKDIR}"));
    }

    /// Copies from an earlier stage to [`WORKDIR`] or below, for the user.
    pub fn copy_app(&mut self, stage: &str, from: &str, to: &str) {
        self.line(&format!("COPY --from={stage} --chown=app:app {from} {to}"));
    }

    /// Adds a comment. A line break in a text of the source does not end it.
    pub fn comment(&mut self, text: &str) {
        self.line(&format!("# {}", text.replace(char::is_control, " ")));
    }

    /// Adds a line as it is.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Copies these files and directories of the source, each to the same path. `[…]`, because names may contain spaces.
    pub fn copy_each<'p>(&mut self, paths: impl IntoIterator<Item = &'p str>) {
        // One instruction for the files beside each other.
        let mut by_directory = std::collections::BTreeMap::<&str, Vec<&str>>::new();
        for path in paths {
            by_directory.entry(path.rsplit_once('/').map_or("", |(directory, _)| directory)).or_default().push(path);
        }
        for (directory, mut paths) in by_directory {
            let to = format!("./{directory}{}", if directory.is_empty() { "" } else { "/" });
            paths.push(&to);
            self.line(&format!("COPY {}", serde_json::json!(paths)));
        }
    }

    /// Runs a shell command in a stage that builds, with the build's secrets as variables. `caches`: directories that
    /// survive from build to build, for example those of a package manager.
    pub fn run(&mut self, command: &str, caches: &[&str]) {
        let mut line = "RUN".to_owned();
        for target in caches {
            let id = target.trim_start_matches('/').replace('/', "-");
            line.push_str(&format!(" {ANY_APP}{id},target={target},sharing=locked"));
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

    /// Installs packages of Debian, unless `test`, a shell condition, says that they are there. So an operator's image
    /// that has them needs no mirror.
    pub fn packages(&mut self, test: &str, packages: &[&str]) {
        self.line(&format!("RUN {test} || ({})", install(&packages.join(" "))));
    }

    /// Writes a small text file, in any stage.
    pub fn file(&mut self, path: &str, text: &str) {
        let mut line = "RUN printf '%s\\n'".to_owned();
        for it in text.lines() {
            line.push_str(&format!(" \\\n    '{}'", it.replace('\'', r"'\''")));
        }
        self.line(&format!("{line} \\\n    >{path}"));
    }

    /// Switches to the user. `command`: the default command of the image, run by a shell, which expands its variables.
    /// `None`: the app spec has the command.
    pub fn start(&mut self, command: Option<&str>) {
        self.line("USER app");
        if let Some(command) = command {
            self.line(&format!("CMD {}", serde_json::json!(["/bin/sh", "-c", replacing_the_shell(command)])));
        }
    }

    /// The finished text.
    pub fn text(self) -> String {
        self.text
    }
}

/// A command whose program takes the place of the shell, so that it gets the signal that stops the container. A command
/// of several programs, or of the shell itself, stays as it is.
fn replacing_the_shell(command: &str) -> String {
    const OF_THE_SHELL: &[&str] =
        &["exec", "cd", "export", "set", "source", ".", "eval", "if", "for", "while", "until", "case", "!", "{"];
    let command = command.trim();
    let mut program = command;
    // Assignments come first. One with quotes may contain spaces.
    while let Some((word, rest)) = program.split_once(' ')
        && word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        && !word.contains(['"', '\'', '\\'])
    {
        program = rest.trim_start();
    }
    let first = program.split(char::is_whitespace).next().unwrap_or_default();
    let is_one_program = !command.contains(['&', '|', ';', '(', '`', '\n']) && !first.contains('=');
    if first.is_empty() || !is_one_program || OF_THE_SHELL.contains(&first) {
        return command.to_owned();
    }
    let (assignments, program) = command.split_at(command.len() - program.len());
    format!("{assignments}exec {program}")
}

/// A shell command that installs packages of Debian and leaves no cache.
pub(crate) fn install(packages: &str) -> String {
    format!(
        "apt-get update && apt-get install --yes --no-install-recommends {packages} && rm -rf /var/lib/apt/lists/* /var/cache/apt/*"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Bases;
    use crate::bases::NODE;

    fn written(write: impl FnOnce(&mut Dockerfile<'_>)) -> String {
        let bases = Bases::default();
        let mut request = Request::new("web", Kind::Service, &bases);
        request.build_args = vec!["GREETING"];
        request.build_secrets = vec!["TOKEN"];
        let project = Project::of(&[]);
        let mut dockerfile = Dockerfile::new(&project, &request, "test");
        write(&mut dockerfile);
        dockerfile.text()
    }

    #[test]
    fn only_stages_that_build_get_the_variables_of_the_build() {
        let text = written(|it| {
            it.build_stage(&NODE, "22", "build");
            it.copy_sources();
            it.run("make", &["/root/.npm"]);
            it.final_stage(&NODE, "22");
            it.user();
            it.start(Some("node ."));
        });
        let (build, run) = text.split_once("FROM node:22-slim").unwrap_or_default();
        assert!(build.contains("ARG GREETING\n"), "{text}");
        assert!(build.contains("RUN --mount=type=cache,id=app-root-.npm,target=/root/.npm,sharing=locked --mount=type=secret,id=TOKEN if [ -f"), "{text}");
        assert!(!run.contains("GREETING") && !run.contains("TOKEN"), "{text}");
        assert!(run.ends_with("USER app\nCMD [\"/bin/sh\",\"-c\",\"exec node .\"]\n"), "{text}");
    }

    #[test]
    fn an_app_has_caches_of_its_own() {
        let dockerfile = written(|it| it.run("make # id=app-x", &["/root/.npm"]));
        let text = crate::testing::service(&[("index.html", "")]);
        let text = crate::Detected { dockerfile, ..text }.for_app("shop").dockerfile;
        assert!(
            text.contains("--mount=type=cache,id=shop-root-.npm,target=/root/.npm,") && text.contains("# id=app-x"),
            "{text}"
        );
    }

    #[test]
    fn one_program_takes_the_place_of_the_shell() {
        for (command, expected) in [
            ("node server.js --port $PORT", "exec node server.js --port $PORT"),
            (" A=1 B=$C node x=y ", "A=1 B=$C exec node x=y"),
            ("A='b c' node .", "A='b c' node ."),
            ("exec node .", "exec node ."),
            ("cd web && node .", "cd web && node ."),
            ("node . | tee log", "node . | tee log"),
            ("export A=1; node .", "export A=1; node ."),
            ("", ""),
        ] {
            assert_eq!(replacing_the_shell(command), expected);
        }
    }

    #[test]
    fn commands_with_line_breaks_and_odd_beginnings_stay_one_instruction() {
        for command in ["one\ntwo", "cat <<EOF", "[ -f x ]", "--flag", "a \\"] {
            let text = written(|it| it.run(command, &[]));
            assert_eq!(text.lines().count(), 2, "{text}");
        }
    }

    #[test]
    fn files_beside_each_other_are_copied_by_one_instruction() {
        let text = written(|it| it.copy_each(["package.json", "packages/a/package.json", "with space.lock"]));
        assert_eq!(
            text,
            "# test\nCOPY [\"package.json\",\"with space.lock\",\"./\"]\nCOPY [\"packages/a/package.json\",\"./packages/a/\"]\n"
        );
    }

    #[test]
    fn a_file_is_written_without_a_here_document() {
        let text = written(|it| it.file("/etc/x", "a 'b' $c\n\nd"));
        assert_eq!(
            text,
            "# test\nRUN printf '%s\\n' \\\n    'a '\\''b'\\'' $c' \\\n    '' \\\n    'd' \\\n    >/etc/x\n"
        );
    }
}
