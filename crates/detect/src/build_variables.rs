//! Which variables of the build the installation of dependencies may read, for example the token of a private registry.
//!
//! The others come after the dependencies, so that a new value installs nothing again.

use crate::project::Project;

/// The beginnings of variables that package managers, and the scripts of packages that download programs, read.
const BEGINNINGS: &[&str] = &[
    // Node.js.
    "BUN_",
    "NODE_",
    "NPM_",
    "PNPM_",
    "YARN_",
    "npm_",
    // Packages that download programs when they are installed.
    "CYPRESS_",
    "ELECTRON_",
    "PLAYWRIGHT_",
    "PRISMA_",
    "PUPPETEER_",
    "SENTRYCLI_",
    "SHARP_",
    // Python, PHP and Ruby.
    "BUNDLE_",
    "COMPOSER_",
    "GEM_",
    "PIPENV_",
    "PIP_",
    "POETRY_",
    "UV_",
    // Go, Rust and Hugo.
    "CARGO_",
    "CGO_",
    "GOAUTH",
    "GOFLAGS",
    "GOINSECURE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "HUGO_",
];
const PROXIES: &[&str] = &["ALL_PROXY", "FTP_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"];
/// Files whose texts may refer to variables, besides lists of requirements.
const FILES: &[&str] = &[".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml", "Pipfile", "Gemfile"];

/// Whether the installation of dependencies may read this variable: by its name, or because a file of a package manager
/// mentions it.
pub(crate) fn is_for_installation(project: &Project, key: &str) -> bool {
    let is_known = BEGINNINGS.iter().any(|it| key.starts_with(it)) || PROXIES.contains(&&*key.to_ascii_uppercase());
    let is_file = |path: &&str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        FILES.contains(&name) || name.ends_with(".txt")
    };
    let is_mentioned = || project.paths().filter(is_file).any(|it| project.text(it).is_some_and(|it| it.contains(key)));
    is_known || key.ends_with("_TOKEN") || is_mentioned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_settings_of_package_managers_come_before_the_dependencies_and_others_after_them() {
        let files = [
            (".npmrc", "//npm.example.com/:_password=${REGISTRY_PASSWORD}"),
            ("requirements/base.txt", "--index-url https://${PYPI_USER}@pypi.example.com/simple"),
            ("package.json", r#"{"scripts": {"build": "vite build --define $COMMIT_HASH"}}"#),
        ];
        let project = Project::of(&files);
        for key in
            ["NPM_TOKEN", "GH_TOKEN", "BUNDLE_GEMS__EXAMPLE__COM", "https_proxy", "REGISTRY_PASSWORD", "PYPI_USER"]
        {
            assert!(is_for_installation(&project, key), "{key}");
        }
        for key in ["COMMIT_HASH", "GOOGLE_ID", "VITE_API", "DATABASE_URL"] {
            assert!(!is_for_installation(&project, key), "{key}");
        }
    }
}
