//! A repository on this machine, read in place: nothing is copied, nothing is searched for above the path.

use std::path::Path;

use git2::{Repository, RepositoryOpenFlags};

use crate::error::SourceError;
use crate::repo_url::UrlRules;

/// Opens the repository at `path`, which may be bare or a work tree's root.
pub(super) fn open(path: &Path, rules: &UrlRules) -> Result<Repository, SourceError> {
    let shown = path.display().to_string();
    let nowhere: [&Path; 0] = [];
    let repo = Repository::open_ext(path, RepositoryOpenFlags::NO_SEARCH, nowhere)
        .map_err(|_| SourceError::NotARepository { path: shown.clone() })?;
    // `.git` may be a file that points elsewhere (a linked work tree); elsewhere must be allowed as well.
    for objects in [repo.path(), repo.commondir()] {
        let allowed = objects.canonicalize().is_ok_and(|resolved| {
            rules.local_sources.iter().filter_map(|dir| dir.canonicalize().ok()).any(|dir| resolved.starts_with(dir))
        });
        if !allowed {
            return Err(SourceError::ObjectsOutside { path: shown, outside: objects.display().to_string() });
        }
    }
    Ok(repo)
}
