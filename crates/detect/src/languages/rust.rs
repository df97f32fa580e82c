//! Rust: the binaries of a package or a workspace, beside the files of the source, because programs read templates and
//! assets.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Detected, Finding, Language, Module, Start, static_files};
use crate::bases::{DEBIAN, RUST};
use crate::dockerfile::Dockerfile;
use crate::project::Project;
use crate::request::{Kind, Request};
use crate::system_packages::SystemPackages;
use crate::undetected::Undetected;

pub(super) const MODULE: Module = Module {
    language: Language::Rust,
    slugs: &["rust"],
    looks_for: "Cargo.toml",
    evidence: |project| project.first(&["Cargo.toml"]).map(str::to_owned),
    build,
};

/// The target directory is a cache, which is not part of any layer. Programs are copied out of it to where Cargo writes.
const TARGET: &str = "/target";
const CACHES: &[&str] = &["/usr/local/cargo/registry", "/usr/local/cargo/git", TARGET];

fn build(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let programs = Programs::find(project)?;
    let toolchain = Toolchain::of(project)?;
    let system = SystemPackages::new(project, []);
    let mut findings = vec![toolchain.finding.clone()];
    findings.extend(system.finding());

    let mut dockerfile = Dockerfile::new(project, request, &toolchain.finding.what);
    dockerfile.build_stage(&RUST, &toolchain.version, "build");
    dockerfile.line(&format!("ENV CARGO_HOME=/usr/local/cargo CARGO_TARGET_DIR={TARGET}"));
    if toolchain.is_of_image {
        dockerfile.comment("The toolchain of the image, not one that rustup would download.");
        dockerfile.line("ENV RUSTUP_TOOLCHAIN=$RUST_VERSION");
    }
    system.install(&mut dockerfile);
    dockerfile.copy_sources();
    let locked = if project.has("Cargo.lock") { " --locked" } else { "" };
    // Without `--workspace`, a package in the root of a workspace would be built alone.
    let workspace = if programs.is_workspace { " --workspace" } else { "" };
    let default = format!("cargo build --release{workspace}{locked}");
    // Cargo compares times, and a new file may carry an old time. So all files of the source count as changed;
    // dependencies stay compiled in the cache, but not the programs of earlier builds.
    let command = format!(
        "find {TARGET} -maxdepth 2 -type f -delete && find . -type f -exec touch {{}} + && {} && mkdir -p target/release && \
         find {TARGET}/release -maxdepth 1 -type f -perm -u+x -exec cp {{}} target/release/ \\;",
        request.build_command.unwrap_or(&default)
    );
    dockerfile.run(&command, CACHES);
    if let Some(command) = request.build_command {
        findings.push(Finding::new(format!("build command \"{command}\""), "build_command"));
    }
    if request.kind == Kind::StaticSite {
        let site = static_files::Site { own: &[], fallback: static_files::Fallback::Index };
        return Ok(static_files::serve(dockerfile, request, Language::Rust, site, findings));
    }
    let start = Start::of(project, request, || programs.start(request)).ok_or_else(|| programs.no_start())?;
    findings.push(start.finding());
    system.record(&mut dockerfile, "target");

    dockerfile.final_stage(&DEBIAN, DEBIAN.default);
    dockerfile.user();
    system.install_recorded(&mut dockerfile);
    dockerfile.line("COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt");
    // Rocket reads these variables.
    dockerfile.line("ENV PATH=/workspace/target/release:$PATH ROCKET_ADDRESS=0.0.0.0");
    dockerfile.copy_app("build", "/workspace", "./");
    dockerfile.start(start.for_image(request));
    let start = start.for_image(request).map(str::to_owned);
    Ok(Detected { language: Language::Rust, findings, dockerfile: dockerfile.text(), start })
}

/// The version of the base image.
struct Toolchain {
    version: String,
    /// Whether the image has the toolchain. Else rustup downloads it during the build.
    is_of_image: bool,
    finding: Finding,
}

impl Toolchain {
    fn of(project: &Project) -> Result<Self, Undetected> {
        let of_table = |table: &Value| table.pointer("/toolchain/channel").and_then(Value::as_str).map(str::to_owned);
        let channel = project.toml("rust-toolchain.toml")?.as_ref().and_then(of_table);
        let (file, channel) = match (channel, project.text("rust-toolchain")) {
            (Some(channel), _) => ("rust-toolchain.toml", channel),
            // The older file contains a channel, or the same table.
            (None, Some(text)) => {
                let table = project.toml("rust-toolchain").ok().flatten();
                ("rust-toolchain", table.as_ref().and_then(of_table).unwrap_or_else(|| text.trim().to_owned()))
            }
            (None, None) => ("the default", "stable".to_owned()),
        };
        let is_channel = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if channel.is_empty() || !channel.chars().all(is_channel) {
            let (file, available) = (file.to_owned(), "releases such as 1.85, stable, beta and nightly".to_owned());
            return Err(Undetected::Version { file, wanted: format!("{channel:?}"), available });
        }
        let is_release = channel.split('.').all(|part| part.parse::<u32>().is_ok());
        let is_of_image = is_release || channel == "stable";
        let version = if is_release { channel.clone() } else { RUST.default.to_owned() };
        let note = if is_of_image { "" } else { ", which rustup downloads" };
        Ok(Self { version, is_of_image, finding: Finding::new(format!("Rust {channel}{note}"), file) })
    }
}

/// The binaries of a package, or of all packages of a workspace.
struct Programs {
    all: Vec<String>,
    /// Those in the root package.
    of_root: Vec<String>,
    /// `default-run` of the root package.
    default: Option<String>,
    /// Whether `Cargo.toml` has a table `[workspace]`.
    is_workspace: bool,
    /// Whether they use Rocket, which reads its port from a variable of its own.
    has_rocket: bool,
}

impl Programs {
    fn find(project: &Project) -> Result<Self, Undetected> {
        let root = project.toml("Cargo.toml")?.unwrap_or_default();
        let of_root = binaries(project, "", &root);
        let mut all = of_root.clone();
        let mut has_rocket = root.pointer("/dependencies/rocket").is_some();
        let members = Members::of(&root);
        for path in project.named("Cargo.toml") {
            let Some(directory) = path.strip_suffix("/Cargo.toml") else { continue };
            if members.contain(directory) {
                let manifest = project.toml(path)?.unwrap_or_default();
                all.extend(binaries(project, &format!("{directory}/"), &manifest));
                has_rocket |= manifest.pointer("/dependencies/rocket").is_some();
            }
        }
        let default = root.pointer("/package/default-run").and_then(Value::as_str).map(str::to_owned);
        Ok(Self { all, of_root, default, is_workspace: root.get("workspace").is_some(), has_rocket })
    }

    /// The program of `default-run`, that with the name of the component, or the only one of the root or of all.
    fn start(&self, request: &Request<'_>) -> Option<Start> {
        let only = |of: &[String]| of.first().filter(|_| of.len() == 1).cloned();
        let by_name = || self.all.iter().find(|it| *it == request.component).cloned();
        let name = self.default.clone().or_else(by_name).or_else(|| only(&self.of_root)).or_else(|| only(&self.all))?;
        let variable = if self.has_rocket && request.kind == Kind::Service { "ROCKET_PORT=$PORT exec " } else { "" };
        Some(Start::new(format!("{variable}target/release/{name}"), format!("the binary {name}")))
    }

    fn no_start(&self) -> Undetected {
        let help = if self.all.is_empty() {
            "Add a binary, such as src/main.rs, or a Procfile".to_owned()
        } else {
            let names = self.all.join(", ");
            format!(
                "Set `default-run` in Cargo.toml, give the component the name of one of the binaries {names}, or add a Procfile"
            )
        };
        Undetected::NoStart { language: "Rust".into(), help }
    }
}

/// The names of the binaries of the package in a directory, which is empty or ends with a slash.
fn binaries(project: &Project, directory: &str, manifest: &Value) -> Vec<String> {
    let Some(package) = manifest.pointer("/package/name").and_then(Value::as_str) else { return Vec::new() };
    let declared = manifest.get("bin").and_then(Value::as_array).into_iter().flatten();
    let named = |bin: &Value| bin.get("name").and_then(Value::as_str).map(str::to_owned);
    let mut all: Vec<_> = declared.clone().filter_map(named).collect();
    let paths: Vec<_> = declared.filter_map(|bin| bin.get("path").and_then(Value::as_str)).collect();
    if project.has(&format!("{directory}src/main.rs")) && !paths.contains(&"src/main.rs") {
        all.push(package.to_owned());
    }
    let below = format!("{directory}src/bin/");
    for path in project.below(&below).filter_map(|path| path.strip_prefix(below.as_str())) {
        let name = path.strip_suffix("/main.rs").or_else(|| path.strip_suffix(".rs")).filter(|it| !it.contains('/'));
        if let Some(name) = name.filter(|_| !paths.iter().any(|it| it.strip_prefix("src/bin/") == Some(path))) {
            all.push(name.to_owned());
        }
    }
    all.sort();
    all.dedup();
    all
}

/// The members of a workspace.
struct Members<'a> {
    names: BTreeSet<&'a str>,
    /// More than these are not looked at: each is compared with each directory.
    patterns: Vec<&'a str>,
}

impl<'a> Members<'a> {
    fn of(root: &'a Value) -> Self {
        let all = root.pointer("/workspace/members").and_then(Value::as_array).into_iter().flatten();
        let all = all.filter_map(Value::as_str).map(|it| it.trim_start_matches("./"));
        let (mut patterns, names): (Vec<_>, Vec<_>) = all.partition(|it| it.contains('*'));
        patterns.truncate(100);
        Self { names: names.into_iter().collect(), patterns }
    }

    fn contain(&self, directory: &str) -> bool {
        self.names.contains(directory) || self.patterns.iter().any(|pattern| matches(pattern, directory))
    }
}

/// Whether a directory matches a pattern of `members`, in which `*` stands for one name or a part of it.
fn matches(pattern: &str, directory: &str) -> bool {
    let (pattern, directory): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), directory.split('/').collect());
    let part = |(pattern, name): (&&str, &&str)| match pattern.split_once('*') {
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
        None => pattern == name,
    };
    pattern.len() == directory.len() && pattern.iter().zip(&directory).all(part)
}

#[cfg(test)]
mod tests;
