//! The app of the demo, `examples/harbor`, in a separate repository, and the changes that the demo commits to it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::claims::Claim;
use crate::http;
use crate::installation::Installation;
use crate::repo::Repo;

pub(super) const NAME: &str = "harbor";
/// Its host name at the ingress.
pub(super) const HOST: &str = "harbor.localhost";
/// The headings of its page in successive commits.
pub(super) const FIRST: &str = "Welcome to the harbor";
pub(super) const REBUILT: &str = "Welcome to the rebuilt harbor";
const NEVER_TO_STAY: &str = "Welcome to a harbor that must not stay";
/// What the broken API prints before it ends.
pub(super) const EXIT_MESSAGE: &str = "broken on purpose: the tide table is lost";

/// The repository URL in `app.yaml`.
const REPOSITORY_IN_SPEC: &str = "file:///srv/git/harbor.git";

pub(super) struct Harbor {
    path: PathBuf,
    repo: Repo,
    /// The spec with the URL of this repository.
    pub spec: String,
}

impl Harbor {
    /// A repository with the example as its first commit.
    pub fn new(sources: &Path) -> Result<Self> {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/harbor");
        let path = sources.join(NAME);
        let repo = Repo::init(&path)?;
        repo.copy_from(&example).with_context(|| format!("{} cannot be copied", example.display()))?;
        repo.commit("The harbor opens")?;
        let spec = std::fs::read_to_string(example.join("app.yaml"))?;
        ensure!(spec.contains(REPOSITORY_IN_SPEC), "app.yaml does not name {REPOSITORY_IN_SPEC}");
        let spec = spec.replace(REPOSITORY_IN_SPEC, &repo.url());
        Ok(Self { path, repo, spec })
    }

    /// Moves the repository away.
    pub fn hide(&self) -> Result<()> {
        Ok(std::fs::rename(&self.path, self.hidden())?)
    }

    pub fn bring_back(&self) -> Result<()> {
        Ok(std::fs::rename(self.hidden(), &self.path)?)
    }

    /// Commits another heading of the page.
    pub fn change_page(&self) -> Result<()> {
        self.edit("web/page.html", FIRST, REBUILT)?;
        self.repo.commit("Another heading").map(drop)
    }

    /// Commits a page that works and an API that exits as soon as it starts.
    pub fn break_api(&self) -> Result<()> {
        self.edit("web/page.html", REBUILT, NEVER_TO_STAY)?;
        self.edit("api/main.py", "import json\n", &format!("import json\n\nraise SystemExit(\"{EXIT_MESSAGE}\")\n"))?;
        self.repo.commit("A page that works, an API that does not").map(drop)
    }

    fn hidden(&self) -> PathBuf {
        self.path.with_extension("away")
    }

    fn edit(&self, file: &str, old: &str, new: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.path.join(file))?;
        ensure!(text.contains(old), "{file} of the example does not say {old:?}");
        self.repo.write(file, &text.replacen(old, new, 1))
    }
}

/// The page has this heading and the API answers. Asks often enough to reach every instance.
pub(super) async fn pages(at: &Installation, heading: &str) -> Result<[Claim; 2]> {
    let (mut page, mut api) = (true, true);
    for _ in 0..8 {
        page &= answers(at, "/", &format!("<h1>{heading}</h1>")).await?;
        api &= answers(at, "/api", "metres").await?;
    }
    Ok([Claim::new(page, format!("the page says \"{heading}\"")), Claim::new(api, "the api answers")])
}

async fn answers(at: &Installation, path: &str, text: &str) -> Result<bool> {
    let (status, body) = http::page(at.http(), HOST, path).await?;
    Ok(status == 200 && body.contains(text))
}
