//! Resolves the symbolic links of a site: each becomes the file or the directory that it names.

use std::collections::BTreeMap;

use crate::index::Entry;
use crate::unpack::{Limits, UnpackError};

/// How many links may lie on the way to a file, as in Linux (path_resolution(7)).
const LINKS_ON_THE_WAY: usize = 40;

/// A file or a directory that a link names.
enum Named {
    File(Entry),
    Directory {
        entries: Vec<(String, Entry)>,
        /// One of the links below it.
        link: Option<String>,
    },
}

/// Adds what the links name to `files`. `links`: by path, with the text of the link. `directory`: the directory of the site
/// in its image, with which absolute links have to begin. `paths`: bytes of all paths so far. Returns notes about links that
/// are left out: those that name nothing, and those below a directory that another link names. Errors: a link leaves the
/// site, or a limit is exceeded.
pub(crate) fn resolve(
    files: &mut BTreeMap<String, Entry>,
    links: &BTreeMap<String, String>,
    directory: &str,
    limits: Limits,
    mut paths: u64,
) -> Result<Vec<String>, UnpackError> {
    let mut targets = BTreeMap::new();
    for (path, text) in links {
        let target = target(path, text, directory)
            .ok_or_else(|| UnpackError::LinkLeaves { path: path.clone(), target: text.clone() })?;
        targets.insert(path.as_str(), target);
    }
    let mut notes = Vec::new();
    let mut found = Vec::new();
    for (path, target) in &targets {
        match follow(files, &targets, target) {
            Some(Named::File(entry)) => found.push(((*path).to_owned(), entry)),
            Some(Named::Directory { entries, link }) => {
                if let Some(link) = link {
                    notes.push(format!(
                        "left out {path}/{link}, and other links below {path}: links in a directory that a link names are \
                         not followed"
                    ));
                }
                for (below, entry) in entries {
                    let path = format!("{path}/{below}");
                    paths += path.len() as u64;
                    found.push((path, entry));
                    limits.check(files.len() + found.len(), paths)?;
                }
            }
            None => notes.push(format!("left out {path}: the link names no file of the site")),
        }
        limits.check(files.len() + found.len(), paths)?;
    }
    files.extend(found);
    Ok(notes)
}

/// The path in the site that a link names. `None`: it leaves the site.
fn target(path: &str, text: &str, directory: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    let rest = match text.strip_prefix('/') {
        Some(_) => {
            let root = directory.trim_end_matches('/');
            let below = text.strip_prefix(root)?;
            below.starts_with('/').then_some(below)?
        }
        None => {
            names = path.split('/').collect();
            names.pop();
            text
        }
    };
    for name in rest.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// What is at a path, through other links. A directory below a link that leads back to it is left out.
fn follow(files: &BTreeMap<String, Entry>, targets: &BTreeMap<&str, String>, path: &str) -> Option<Named> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_ON_THE_WAY {
        if let Some(entry) = files.get(&path) {
            return Some(Named::File(*entry));
        }
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let below = files.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        let below: Vec<_> = below.map(|(name, entry)| (name[prefix.len()..].to_owned(), *entry)).collect();
        if !below.is_empty() {
            let link = targets.range(prefix.as_str()..).next().and_then(|(link, _)| link.strip_prefix(&prefix));
            return Some(Named::Directory { entries: below, link: link.map(str::to_owned) });
        }
        // The path itself is a link, or leads through one.
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let (end, target) = ends.filter_map(|end| Some((end, targets.get(&path[..end])?))).next()?;
        path = format!("{target}{}", &path[end..]).trim_start_matches('/').to_owned();
    }
    None
}
