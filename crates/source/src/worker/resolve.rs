//! Resolves a branch, tag or id to a commit and its tree, by a server's list of references or in a local repository.

use git2::{Commit, ErrorCode, Oid, Reference, Repository};

use super::errors::damaged;
use crate::error::{NameKind, SourceError};
use crate::git_ref::{CommitId, GitRef, TreeId};
use crate::identity::Resolved;
use crate::protocol::sanitize;
use crate::repo_url::RepoUrl;

/// Names listed in an error.
const MAX_NAMES: usize = 10;

/// A reference that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundRef {
    /// The full name of the reference.
    pub(super) reference: String,
    /// Its target: a commit, or a tag object.
    pub(super) id: Oid,
    pub(super) branch: Option<String>,
}

/// The references of a server or repository, without git2's lifetimes.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Full name and target, as listed.
    pub(super) all: Vec<(String, Oid)>,
    /// The branch that HEAD names, if known.
    pub(super) default: Option<String>,
}

impl Heads {
    /// The reference of `git_ref`. `None` for a commit: servers do not list commits.
    pub(super) fn find(&self, git_ref: &GitRef, repo: &RepoUrl) -> Result<Option<FoundRef>, SourceError> {
        if self.all.is_empty() {
            return Err(SourceError::Empty { repo: repo.to_string() });
        }
        let full = match git_ref {
            GitRef::Commit(_) => return Ok(None),
            GitRef::Branch(name) => format!("refs/heads/{name}"),
            GitRef::Tag(name) => format!("refs/tags/{name}"),
            GitRef::DefaultBranch => match &self.default {
                Some(full) if full.starts_with("refs/heads/") => full.clone(),
                Some(_) | None => return Err(self.no_default(repo)),
            },
        };
        let Some((reference, id)) = self.all.iter().find(|(name, _)| *name == full) else {
            return Err(self.missing(git_ref, repo));
        };
        let branch = reference.strip_prefix("refs/heads/").map(str::to_owned);
        Ok(Some(FoundRef { reference: reference.clone(), id: *id, branch }))
    }

    fn missing(&self, git_ref: &GitRef, repo: &RepoUrl) -> SourceError {
        let repo_name = repo.to_string();
        match git_ref {
            GitRef::Tag(tag) => {
                let (have, more) = self.names("refs/tags/", tag.as_str());
                SourceError::TagMissing { tag: tag.to_string(), repo: repo_name, have, more }
            }
            GitRef::Branch(branch) => {
                let (have, more) = self.names("refs/heads/", branch.as_str());
                let name_kind = self.name_kind(branch.as_str());
                SourceError::BranchMissing { branch: branch.to_string(), repo: repo_name, have, more, name_kind }
            }
            GitRef::Commit(commit) => SourceError::CommitMissing { commit: commit.clone(), repo: repo_name },
            GitRef::DefaultBranch => self.no_default(repo),
        }
    }

    /// What a name that is not a branch refers to.
    fn name_kind(&self, name: &str) -> NameKind {
        let tag = format!("refs/tags/{name}");
        if self.all.iter().any(|(reference, _)| *reference == tag) {
            return NameKind::Tag;
        }
        let is_id = (7..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id { NameKind::Commit } else { NameKind::Nothing }
    }

    fn no_default(&self, repo: &RepoUrl) -> SourceError {
        let (have, more) = self.names("refs/heads/", "main");
        SourceError::NoDefaultBranch { repo: repo.to_string(), have, more }
    }

    /// Short names below `prefix`, the most similar to `wanted` first, and how many more there are.
    fn names(&self, prefix: &str, wanted: &str) -> (Vec<String>, usize) {
        let mut names: Vec<&str> = self
            .all
            .iter()
            .filter_map(|(name, _)| name.strip_prefix(prefix))
            .filter(|name| !name.ends_with("^{}"))
            .collect();
        names.sort_by_cached_key(|name| (strsim::levenshtein(name, wanted), name.to_string()));
        let more = names.len().saturating_sub(MAX_NAMES);
        (names.into_iter().take(MAX_NAMES).map(|name| sanitize(name, 100)).collect(), more)
    }
}

/// The references of a local repository.
pub(super) fn local_heads(opened: &Repository, repo: &RepoUrl) -> Result<Heads, SourceError> {
    let references = opened.references().map_err(|error| damaged(&error, repo))?;
    let listed = |reference: Reference<'_>| {
        let id = reference.resolve().ok()?.target()?;
        Some((reference.name().ok()?.to_owned(), id))
    };
    let all = references.flatten().filter_map(listed).collect();
    let head = opened.find_reference("HEAD").ok();
    let default = head.and_then(|head| head.symbolic_target().ok().flatten().map(str::to_owned));
    Ok(Heads { all, default })
}

/// The commit of `git_ref` in a local repository.
pub(super) fn local(opened: &Repository, repo: &RepoUrl, git_ref: &GitRef) -> Result<Resolved, SourceError> {
    if let GitRef::Commit(commit) = git_ref {
        return describe(&find_commit(opened, repo, commit)?, None, false);
    }
    // A detached HEAD names no branch, but its commit is unambiguous.
    if *git_ref == GitRef::DefaultBranch && opened.head_detached().unwrap_or(false) {
        let head = opened.head().and_then(|head| head.peel_to_commit()).map_err(|error| damaged(&error, repo))?;
        return describe(&head, None, false);
    }
    let missing = || SourceError::Empty { repo: repo.to_string() };
    let found = local_heads(opened, repo)?.find(git_ref, repo)?.ok_or_else(missing)?;
    describe(&peel(opened, repo, found.id)?, found.branch, false)
}

/// A commit by its id. Errors: `CommitMissing`.
pub(super) fn find_commit<'r>(
    opened: &'r Repository,
    repo: &RepoUrl,
    commit: &CommitId,
) -> Result<Commit<'r>, SourceError> {
    let id = Oid::from_str(commit.as_str()).map_err(|error| damaged(&error, repo))?;
    opened.find_commit(id).map_err(|error| match error.code() {
        ErrorCode::NotFound => SourceError::CommitMissing { commit: commit.clone(), repo: repo.to_string() },
        _ => damaged(&error, repo),
    })
}

/// The commit that an object is or, for a tag object, points to.
pub(super) fn peel<'r>(opened: &'r Repository, repo: &RepoUrl, id: Oid) -> Result<Commit<'r>, SourceError> {
    opened.find_object(id, None).and_then(|object| object.peel_to_commit()).map_err(|error| damaged(&error, repo))
}

/// Describes a commit.
pub(super) fn describe(commit: &Commit<'_>, branch: Option<String>, received: bool) -> Result<Resolved, SourceError> {
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    Ok(Resolved {
        commit: commit_id(commit.id())?,
        tree: tree_id(commit.tree_id())?,
        branch,
        summary: sanitize(message.trim_start().lines().next().unwrap_or_default(), 200),
        author_time: commit.author().when().seconds(),
        received,
        uncommitted: false,
    })
}

pub(super) fn commit_id(id: Oid) -> Result<CommitId, SourceError> {
    CommitId::parse(&id.to_string()).map_err(|error| SourceError::Worker { why: error.to_string() })
}

pub(super) fn tree_id(id: Oid) -> Result<TreeId, SourceError> {
    TreeId::parse(&id.to_string()).map_err(|error| SourceError::Worker { why: error.to_string() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::UrlRules;

    fn heads(names: &[&str]) -> Heads {
        let id = Oid::from_str(&"1".repeat(40)).unwrap();
        Heads { all: names.iter().map(|name| (name.to_string(), id)).collect(), default: None }
    }

    fn repo() -> RepoUrl {
        RepoUrl::parse("https://example.com/a", &UrlRules::default()).unwrap()
    }

    #[test]
    fn an_error_for_a_misspelt_branch_lists_similar_names_first() {
        let heads = heads(&["refs/heads/develop", "refs/heads/main", "refs/tags/mien", "refs/heads/zebra"]);
        let error = heads.find(&GitRef::branch("mian").unwrap(), &repo()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "branch \"mian\" does not exist in https://example.com/a; it has: main, zebra, develop"
        );
    }

    #[test]
    fn an_error_for_a_branch_reports_if_the_name_is_a_tag_or_a_commit() {
        let heads = heads(&["refs/heads/main", "refs/tags/v1"]);
        let says = |branch: &str| heads.find(&GitRef::branch(branch).unwrap(), &repo()).unwrap_err().to_string();
        assert!(
            says("v1").ends_with(
                "it has: main. A tag has this name, but a spec must name a branch: create a branch at the tag"
            ),
            "{}",
            says("v1")
        );
        assert!(says("0f3a9c1").contains("looks like a commit"), "{}", says("0f3a9c1"));
        assert!(says("v2").ends_with("it has: main"), "{}", says("v2"));
    }

    #[test]
    fn an_error_lists_ten_tags_and_counts_the_rest() {
        let names: Vec<String> =
            (0..25).flat_map(|n| [format!("refs/tags/v{n}"), format!("refs/tags/v{n}^{{}}")]).collect();
        let heads = heads(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let error = heads.find(&GitRef::tag("w").unwrap(), &repo()).unwrap_err().to_string();
        assert!(error.ends_with(" and 15 more") && !error.contains("^{}"), "{error}");
    }

    #[test]
    fn an_empty_repository_and_one_without_a_default_branch_are_errors() {
        let error = heads(&[]).find(&GitRef::DefaultBranch, &repo()).unwrap_err();
        assert!(matches!(error, SourceError::Empty { .. }));
        let error = heads(&["refs/heads/dev"]).find(&GitRef::DefaultBranch, &repo()).unwrap_err();
        assert!(error.to_string().ends_with("name one; it has: dev"), "{error}");
    }
}
