//! Packages of Debian that an app needs beside its language: those of an `Aptfile`, and those with the shared libraries
//! that compiled dependencies use.
//!
//! Dependencies are compiled in the image with compilers. The last stage has a smaller image, so the stage that builds
//! records which packages the compiled files need, and the last stage installs those that are missing.

use crate::dockerfile::{Dockerfile, install};
use crate::languages::Finding;
use crate::project::Project;

pub(crate) struct SystemPackages<'a> {
    /// Those of the `Aptfile`.
    listed: Vec<&'a str>,
    /// Those with libraries that no file refers to, because they are loaded by name.
    loaded: Vec<&'a str>,
}

/// The list of packages in the stage `build`.
const RECORD: &str = "/opt/packages";

impl<'a> SystemPackages<'a> {
    /// `loaded`: packages with libraries that are loaded by name.
    pub fn new(project: &'a Project, loaded: impl IntoIterator<Item = &'a str>) -> Self {
        let lines = project.text("Aptfile").into_iter().flat_map(str::lines).map(str::trim);
        let is_package = |line: &&str| {
            // Repositories and addresses of packages are not supported, and nothing else may reach the shell.
            line.starts_with(|c: char| c.is_ascii_alphanumeric())
                && line.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:=~".contains(c))
        };
        Self { listed: lines.filter(is_package).collect(), loaded: loaded.into_iter().collect() }
    }

    pub fn finding(&self) -> Option<Finding> {
        let finding = || Finding::new(format!("packages {}", self.listed.join(", ")), "Aptfile");
        (!self.listed.is_empty()).then(finding)
    }

    /// Installs the packages of the `Aptfile` in a stage.
    pub fn install(&self, dockerfile: &mut Dockerfile<'_>) {
        if !self.listed.is_empty() {
            dockerfile.line(&format!("RUN {}", install(&self.listed.join(" "))));
        }
    }

    /// Records the packages in the stage `build`. `directories`: where the compiled files are.
    pub fn record(&self, dockerfile: &mut Dockerfile<'_>, directories: &str) {
        dockerfile.comment("The packages of Debian with the libraries that compiled files use.");
        let more: String = self.listed.iter().chain(&self.loaded).map(|it| format!(" {it}")).collect();
        let more = if more.is_empty() { more } else { format!("; printf '%s\\n'{more}") };
        dockerfile.line(&format!(
            "RUN (find {directories} -type f \\( -name '*.so*' -o -perm -u+x \\) -exec ldd {{}} + 2>/dev/null \\\n    \
             | awk '$2 == \"=>\" && $3 ~ \"^/(usr/)?lib\" {{ print \"*/\" $1 }}' | sort -u | xargs -r dpkg -S 2>/dev/null \\\n    \
             | sed -n 's/:.*//p'{more}) | sort -u >{RECORD}"
        ));
    }

    /// Installs recorded packages that the image of the last stage does not have.
    pub fn install_recorded(&self, dockerfile: &mut Dockerfile<'_>) {
        dockerfile.line(&format!(
            "RUN --mount=type=bind,from=build,source={RECORD},target={RECORD} \\\n    \
             missing=$(dpkg-query -W -f '${{Package}}\\n' | grep -Fxv -f - {RECORD} || true); \\\n    \
             [ -z \"$missing\" ] || ({})",
            install("$missing")
        ));
    }
}
