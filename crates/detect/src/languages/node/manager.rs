//! The package managers.

use super::{Finding, Package};
use crate::dockerfile::Dockerfile;
use crate::project::Project;

/// The files that say what is installed, besides each `package.json`.
pub(super) const FILES: &[&str] = &[
    ".npmrc",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    ".pnpmfile.cjs",
    "yarn.lock",
    ".yarnrc",
    ".yarnrc.yml",
    "bun.lock",
    "bun.lockb",
    "bunfig.toml",
];
/// The directories that the installation reads: patches, and the schema from which Prisma generates its client.
pub(super) const DIRECTORIES: &[&str] = &[".yarn", "patches", "prisma"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Npm,
    Pnpm,
    YarnClassic,
    /// Yarn 2 and later.
    Yarn,
    Bun,
}

pub(super) struct PackageManager {
    kind: Kind,
    /// The version to install.
    version: String,
    because: String,
    has_lock: bool,
    /// The source contains the program.
    is_in_source: bool,
    has_workspaces: bool,
    /// The source contains the packages.
    has_packages: bool,
    /// The project says which dependencies may run scripts when they are installed.
    has_build_settings: bool,
}

impl PackageManager {
    /// The one that `packageManager` in `package.json` names, else that of the lock file, else npm. If there are several
    /// lock files, they count in App Platform's order.
    pub fn of(project: &Project, package: &Package, node: &str) -> Self {
        let named = package.text("/packageManager").and_then(|it| it.split_once('@'));
        let named = named.map(|(name, version)| (name, version.split('+').next().unwrap_or(version)));
        // The version becomes a part of a command.
        let named = named.filter(|(_, it)| it.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c)));
        let version = named.map(|(_, version)| version);
        let has_yarn_settings = project.has(".yarnrc.yml");
        let yarn = |is_classic: bool| if is_classic { Kind::YarnClassic } else { Kind::Yarn };
        let by_name = match named {
            Some(("npm", _)) => Some(Kind::Npm),
            Some(("pnpm", _)) => Some(Kind::Pnpm),
            Some(("yarn", version)) => Some(yarn(version.starts_with("1."))),
            Some(("bun", _)) => Some(Kind::Bun),
            _ => None,
        };
        let locks = [
            ("yarn.lock", by_name.filter(|it| *it == Kind::Yarn).unwrap_or(yarn(!has_yarn_settings))),
            ("pnpm-lock.yaml", Kind::Pnpm),
            ("package-lock.json", Kind::Npm),
            ("npm-shrinkwrap.json", Kind::Npm),
            ("bun.lock", Kind::Bun),
            ("bun.lockb", Kind::Bun),
        ];
        let lock = locks.into_iter().find(|(file, kind)| project.has(file) && by_name.is_none_or(|it| it == *kind));
        let kind = by_name.or(lock.map(|(_, kind)| kind)).unwrap_or(Kind::Npm);
        let because = match (by_name, lock) {
            (Some(_), _) => "packageManager in package.json",
            (None, Some((file, _))) => file,
            (None, None) => "no lock file",
        };
        let default = match kind {
            Kind::Pnpm => pnpm_version(project, node),
            Kind::Yarn => "4",
            Kind::Npm | Kind::YarnClassic | Kind::Bun => "1",
        };
        Self {
            kind,
            version: version.filter(|_| by_name.is_some()).unwrap_or(default).into(),
            because: because.into(),
            has_lock: lock.is_some(),
            is_in_source: project.has_directory(".yarn/releases"),
            has_workspaces: package.has_workspaces(project),
            has_packages: project.has_directory(".yarn/cache"),
            has_build_settings: version.is_some() || has_build_settings(project, package),
        }
    }

    /// For people.
    pub fn title(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "npm",
            Kind::Pnpm => "pnpm",
            Kind::YarnClassic => "Yarn 1",
            Kind::Yarn => "Yarn",
            Kind::Bun => "Bun",
        }
    }

    pub fn finding(&self) -> Finding {
        Finding::new(format!("package manager {}", self.title()), &*self.because)
    }

    /// The name of its program.
    pub fn program(&self) -> &'static str {
        match self.kind {
            Kind::Npm => "npm",
            Kind::Pnpm => "pnpm",
            Kind::YarnClassic | Kind::Yarn => "yarn",
            Kind::Bun => "bun",
        }
    }

    /// Makes the program available in a stage. npm is in the base image, and so is Yarn 1 in many.
    pub fn install_program(&self, dockerfile: &mut Dockerfile<'_>) {
        let version = &self.version;
        match self.kind {
            Kind::Npm => {}
            Kind::Pnpm => dockerfile.line(&format!("RUN npm install --global pnpm@{version}")),
            Kind::Bun => dockerfile.line(&format!("RUN npm install --global bun@{version}")),
            Kind::YarnClassic => {
                // Node.js that was copied from its image has a link to a Yarn that was not copied. npm replaces it only by force.
                let install = format!("npm install --global --force yarn@{version}");
                dockerfile.line(&format!("RUN command -v yarn >/dev/null || {install}"));
            }
            Kind::Yarn => {
                dockerfile.comment("A directory node_modules works with every program and without Yarn.");
                let global = if self.has_packages { "" } else { " YARN_ENABLE_GLOBAL_CACHE=true" };
                dockerfile.line(&format!("ENV YARN_NODE_LINKER=node-modules{global}"));
                // A program in the source is run by Yarn 1.
                let (name, version) = if self.is_in_source { ("yarn", "1") } else { ("@yarnpkg/cli-dist", &**version) };
                let test = if self.is_in_source { "command -v yarn >/dev/null || " } else { "" };
                dockerfile.line(&format!("RUN {test}npm install --global --force {name}@{version}"));
            }
        }
    }

    /// Installs all dependencies, those for development too, whatever `NODE_ENV` is.
    pub fn install(&self, dockerfile: &mut Dockerfile<'_>) {
        if self.kind == Kind::Pnpm && self.version == "10" && !self.has_build_settings {
            dockerfile.comment(
                "pnpm 10 skips scripts of dependencies, unless the project lists them. Earlier versions ran them.",
            );
            dockerfile.line("ENV npm_config_dangerously_allow_all_builds=true");
        }
        let command = match (self.kind, self.has_lock) {
            (Kind::Npm, true) => "npm ci --include=dev --no-audit --no-fund",
            (Kind::Npm, false) => "npm install --include=dev --no-audit --no-fund",
            (Kind::Pnpm, true) => "CI=true pnpm install --frozen-lockfile --prod=false --store-dir /root/.pnpm-store",
            (Kind::Pnpm, false) => {
                "CI=true pnpm install --no-frozen-lockfile --prod=false --store-dir /root/.pnpm-store"
            }
            (Kind::YarnClassic, true) => "yarn install --frozen-lockfile --production=false --non-interactive",
            (Kind::YarnClassic, false) => "yarn install --production=false --non-interactive",
            (Kind::Yarn, true) => "yarn install --immutable",
            (Kind::Yarn, false) => "yarn install --no-immutable",
            (Kind::Bun, true) => "NODE_ENV= bun install --frozen-lockfile",
            (Kind::Bun, false) => "NODE_ENV= bun install",
        };
        dockerfile.run(command, self.caches());
    }

    /// Removes the dependencies that only development needs. `None`: this package manager cannot.
    pub fn prune(&self) -> Option<String> {
        Some(match self.kind {
            Kind::Npm => "npm prune --omit=dev --ignore-scripts --no-audit --no-fund".into(),
            Kind::Pnpm if self.has_workspaces => return None,
            Kind::Pnpm => "CI=true pnpm prune --prod --ignore-scripts --store-dir /root/.pnpm-store".into(),
            Kind::YarnClassic => {
                "yarn install --production --frozen-lockfile --ignore-scripts --prefer-offline --non-interactive".into()
            }
            Kind::Yarn if self.version.starts_with(['2', '3']) => return None,
            Kind::Yarn => "yarn workspaces focus --all --production".into(),
            Kind::Bun => return None,
        })
    }

    /// The command that runs a script.
    pub fn run(&self, script: &str) -> String {
        format!("{} run {script}", self.program())
    }

    /// The directories of downloaded packages.
    pub fn caches(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Npm => &["/root/.npm"],
            Kind::Pnpm => &["/root/.pnpm-store"],
            Kind::YarnClassic => &["/usr/local/share/.cache/yarn"],
            Kind::Yarn => &["/root/.yarn/berry/cache"],
            Kind::Bun => &["/root/.bun/install/cache"],
        }
    }
}

/// The newest pnpm that reads the lock file and runs on this version of Node.js.
fn pnpm_version(project: &Project, node: &str) -> &'static str {
    let lock = project.text("pnpm-lock.yaml").unwrap_or_default();
    let format = lock.lines().find_map(|line| line.strip_prefix("lockfileVersion:"));
    let format = format.map(|it| it.trim().trim_matches(['\'', '"']));
    match (node, format.and_then(|it| it.split('.').next())) {
        ("14", _) | (_, Some("5")) => "7",
        ("16", _) | (_, Some("6")) => "8",
        _ => "10",
    }
}

/// Whether the project, and not a default of the package manager, decides which dependencies may run scripts.
fn has_build_settings(project: &Project, package: &Package) -> bool {
    let settings = ["onlyBuiltDependencies", "neverBuiltDependencies", "ignoredBuiltDependencies", "allowBuilds"];
    let workspace = project.text("pnpm-workspace.yaml").unwrap_or_default();
    settings.iter().any(|it| package.has(&format!("/pnpm/{it}")) || workspace.contains(it))
        || workspace.contains("dangerouslyAllowAllBuilds")
        || project.text(".npmrc").is_some_and(|it| it.contains("ignore-scripts") || it.contains("allow-all-builds"))
}
