//! Resolves the symbolic links of a site: each becomes the file or the directory that it names.

use std::collections::BTreeMap;

use crate::index::Entry;
use crate::unpack::UnpackError;

/// How many links may lie on the way to a file, as in Linux (path_resolution(7)).
const LINKS_ON_THE_WAY: usize = 40;

/// A file or a directory that a link names.
enum Named {
    File(Entry),
    Directory(Vec<(String, Entry)>),
}

/// Adds what the links name to `files`. `links`: by path, with the text of the link. `directory`: the directory of the site
/// in its image, with which absolute links have to begin. Returns notes about links that name nothing. Errors: a link leaves
/// the site, or there are more files than `most`.
pub(crate) fn resolve(
    files: &mut BTreeMap<String, Entry>,
    links: &BTreeMap<String, String>,
    directory: &str,
    most: usize,
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
            Some(Named::Directory(entries)) => {
                found.extend(entries.into_iter().map(|(below, entry)| (format!("{path}/{below}"), entry)));
            }
            None => notes.push(format!("left out {path}: the link names no file of the site")),
        }
        if files.len() + found.len() > most {
            return Err(UnpackError::TooManyFiles { most });
        }
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
            return Some(Named::Directory(below));
        }
        // The path itself is a link, or leads through one.
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let (end, target) = ends.filter_map(|end| Some((end, targets.get(&path[..end])?))).next()?;
        path = format!("{target}{}", &path[end..]).trim_start_matches('/').to_owned();
    }
    None
}
