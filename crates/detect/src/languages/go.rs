//! Go: static binaries below `bin`, beside the files of the source, because programs read templates and assets.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::node::assets::Assets;
use super::{Detected, Finding, Language, Module, Start, quoted, static_files};
use crate::bases::{DEBIAN, GO};
use crate::dockerfile::Dockerfile;
use crate::project::Project;
use crate::request::{Kind, Request};
use crate::system_packages::SystemPackages;
use crate::undetected::Undetected;
use crate::versions::{self, Wish};

pub(super) const MODULE: Module = Module {
    language: Language::Go,
    slugs: &["go"],
    looks_for: "go.mod",
    evidence: |project| project.first(&["go.mod"]).map(str::to_owned),
    build,
};

/// Modules, each with code in C.
const NEED_C: &[&str] = &[
    "github.com/confluentinc/confluent-kafka-go",
    "github.com/davidbyttow/govips",
    "github.com/godror/godror",
    "github.com/h2non/bimg",
    "github.com/marcboeker/go-duckdb",
    "github.com/mattn/go-sqlite3",
];

const MODULES_CACHE: &str = "/go/pkg/mod";
const CACHES: &[&str] = &[MODULES_CACHE, "/root/.cache/go-build"];

fn build(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let module = GoMod::read(project.text("go.mod").unwrap_or_default());
    // Every release builds what earlier ones build, so the line names the oldest one that works.
    let range = module.go.map(|version| format!(">={version}"));
    let wishes: Vec<_> = range.iter().map(|range| Wish { place: "go.mod", range }).collect();
    let version = versions::choose(&GO, &wishes)?;
    let needs_c = NEED_C.iter().find(|it| module.requires(it));
    let system = SystemPackages::new(project, []);
    let mut assets = Assets::of(project, request)?;
    let mut findings = vec![version.finding];
    if let Some(needs_c) = needs_c {
        findings.push(Finding::new("CGO_ENABLED=1", *needs_c));
    }
    findings.extend(system.finding());

    let mut dockerfile = Dockerfile::new(project, request, &format!("Go {}", version.version));
    dockerfile.build_stage(&GO, version.version, "build");
    dockerfile.line(&format!("ENV GOPATH=/go CGO_ENABLED={}", u8::from(needs_c.is_some())));
    system.install(&mut dockerfile);
    // Modules in directories of the source, and vendored ones, are not downloaded.
    if !module.replaces_by_directory && project.has("go.sum") && !project.has("vendor/modules.txt") {
        dockerfile.comment("Modules are downloaded again only if these files change.");
        dockerfile.copy_each(["go.mod", "go.sum"]);
        dockerfile.run("go mod download", CACHES);
    }
    if let Some(assets) = &assets {
        assets.before_sources(&mut dockerfile, project);
    }
    dockerfile.copy_sources();
    if let Some(assets) = &mut assets {
        assets.after_sources(&mut dockerfile);
        findings.append(&mut assets.findings);
    }
    if request.kind == Kind::StaticSite {
        dockerfile.run(request.build_command.unwrap_or("go run ."), CACHES);
        let site = static_files::Site { own: &[], fallback: static_files::Fallback::NotFound };
        return Ok(static_files::serve(dockerfile, request, Language::Go, site, findings));
    }
    let programs = Programs::find(project, &module);
    let start = Start::of(project, request, || programs.start(request)).ok_or_else(|| programs.no_start())?;
    let builds = match request.build_command {
        Some(command) => command.to_owned(),
        None => format!("go build -trimpath -ldflags='-s -w' -o bin/ {}", programs.packages().join(" ")),
    };
    dockerfile.run(&builds, CACHES);
    findings.push(match request.build_command {
        Some(command) => Finding::new(format!("build command \"{command}\""), "build_command"),
        None => Finding::new(format!("programs {}", programs.names().join(", ")), programs.packages().join(", ")),
    });
    findings.push(start.finding());
    if let Some(assets) = &assets {
        assets.remove(&mut dockerfile);
    }
    if project.has_directory("vendor") {
        dockerfile.line("RUN rm -rf vendor");
    }
    system.record(&mut dockerfile, "/workspace");

    dockerfile.final_stage(&DEBIAN, DEBIAN.default);
    dockerfile.user();
    system.install_recorded(&mut dockerfile);
    dockerfile.line("COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt");
    dockerfile.line("ENV PATH=/workspace/bin:$PATH");
    dockerfile.copy_app("build", "/workspace", "./");
    dockerfile.start(start.for_image(request));
    let start = start.for_image(request).map(str::to_owned);
    Ok(Detected { language: Language::Go, findings, dockerfile: dockerfile.text(), start })
}

/// What go.mod says.
#[derive(Default)]
struct GoMod<'a> {
    path: Option<&'a str>,
    go: Option<&'a str>,
    required: Vec<&'a str>,
    replaces_by_directory: bool,
}

impl<'a> GoMod<'a> {
    fn read(text: &'a str) -> Self {
        let mut module = Self::default();
        for line in text.lines().map(|line| line.split("//").next().unwrap_or(line).trim()) {
            let mut words = line.split_whitespace().skip_while(|word| *word == "require");
            match (words.next(), words.next()) {
                (Some("module"), path) => module.path = path.map(|it| it.trim_matches('"')),
                (Some("go"), version) => module.go = version,
                (Some(required), Some(version)) if version.starts_with('v') => module.required.push(required),
                _ => {}
            }
            module.replaces_by_directory |= line.contains("=> ./") || line.contains("=> ../");
        }
        module
    }

    fn requires(&self, module: &str) -> bool {
        // A path may end with a major version: `/v2`.
        let matches = |it: &&str| it.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("/v"));
        self.required.iter().any(matches)
    }

    /// The name that Go gives to the program in the root.
    fn name(&self) -> &'a str {
        let is_version = |it: &&str| it.strip_prefix('v').is_some_and(|it| it.parse::<u32>().is_ok());
        self.path.unwrap_or_default().rsplit('/').find(|it| !is_version(it)).unwrap_or("app")
    }
}

/// The main packages of a module: the root, and the directories below `cmd`.
struct Programs {
    /// Name and directory.
    all: Vec<(String, String)>,
}

impl Programs {
    fn find(project: &Project, module: &GoMod<'_>) -> Self {
        let is_program = |path: &str| path.ends_with(".go") && !path.ends_with("_test.go");
        let mut all = Vec::new();
        let mut known = BTreeSet::new();
        let is_main =
            |path: &&str| project.text(path).is_some_and(|text| text.lines().any(|it| it.trim() == "package main"));
        if project.paths().any(|path| !path.contains('/') && is_program(path) && is_main(&path)) {
            all.push((module.name().to_owned(), ".".to_owned()));
        }
        for path in project.below("cmd/").filter(|path| is_program(path)) {
            let (directory, _) = path.rsplit_once('/').unwrap_or_default();
            let is_command = directory == "cmd" || directory.strip_prefix("cmd/").is_some_and(|it| !it.contains('/'));
            if is_command && is_main(&path) && known.insert(directory) {
                let name = directory.rsplit('/').next().unwrap_or(directory);
                all.push((name.to_owned(), format!("./{directory}")));
            }
        }
        Self { all }
    }

    fn names(&self) -> Vec<&str> {
        self.all.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// What `go build` builds. Without a known program, it builds all that there are.
    fn packages(&self) -> Vec<Cow<'_, str>> {
        if self.all.is_empty() { vec!["./...".into()] } else { self.all.iter().map(|(_, it)| quoted(it)).collect() }
    }

    /// The program with the name of the component, that in the root, or the only one.
    fn start(&self, request: &Request<'_>) -> Option<Start> {
        let by_name = self.all.iter().find(|(name, _)| name == request.component);
        let in_root = self.all.iter().find(|(_, package)| package == ".");
        let only = self.all.first().filter(|_| self.all.len() == 1);
        let (name, package) = by_name.or(in_root).or(only)?;
        Some(Start::new(quoted(&format!("bin/{name}")), format!("the main package {package}")))
    }

    fn no_start(&self) -> Undetected {
        let help = if self.all.is_empty() {
            "Add a main package in the root or below cmd, or a Procfile".to_owned()
        } else {
            format!("Give the component the name of one of the programs {}, or add a Procfile", self.names().join(", "))
        };
        Undetected::NoStart { language: "Go".into(), help }
    }
}

#[cfg(test)]
mod tests;
