//! A directory on disk, as a developer has it: committed or not, but without what git ignores.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use git2::Repository;

use crate::directory::{DirectoryReader, IGNORE_FILE};
use crate::identity::Directory;

/// Reads what detection needs of a directory: the paths of files, and the texts of wanted ones, with the limits of
/// [`Source::directory`](crate::Source::directory). Files that git ignores are left out unless they are tracked; outside of
/// a repository nothing is ignored. Links are not followed.
///
/// It runs in this process, so it is only for directories that the caller chose. Errors: the directory cannot be read.
pub fn read_work_tree(directory: &Path, is_wanted: fn(&str) -> bool) -> io::Result<Directory> {
    let directory = directory.canonicalize()?;
    let ignored = Ignored::of(&directory);
    let mut reader = DirectoryReader::new(is_wanted, fs::read(directory.join(IGNORE_FILE)).ok().as_deref());
    let mut waiting = VecDeque::from([(String::new(), directory)]);
    while let Some((prefix, directory)) = waiting.pop_front() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if prefix.is_empty() => return Err(error),
            // A directory that may not be read cannot be built either.
            Err(_) => continue,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let (path, kind, place) = (format!("{prefix}{name}"), entry.file_type()?, entry.path());
            if ignored.contains(&place, kind.is_dir()) {
                continue;
            }
            if !reader.count() {
                return Ok(reader.finish());
            }
            match kind.is_dir() {
                true if reader.enters(&path) => waiting.push_back((format!("{path}/"), place)),
                true => {}
                false => add(&mut reader, &path, &place, kind.is_file()),
            }
        }
    }
    Ok(reader.finish())
}

fn add(reader: &mut DirectoryReader, path: &str, place: &Path, is_file: bool) {
    let is_kept = reader.add(path);
    let size = fs::symlink_metadata(place).map_or(u64::MAX, |it| it.len());
    if !is_kept || !is_file || !reader.wants(path, size) {
        return;
    }
    let mut content = Vec::new();
    // The file may grow meanwhile. One byte more than it had shows that it did, and the text is refused or complete.
    let read = File::open(place).and_then(|file| file.take(size + 1).read_to_end(&mut content));
    if read.is_ok() {
        reader.add_text(path, &content);
    }
}

/// The ignore rules of the repository around a directory.
struct Ignored(Option<(Repository, PathBuf)>);

impl Ignored {
    fn of(directory: &Path) -> Self {
        let found = Repository::discover(directory).ok();
        Self(found.and_then(|repo| {
            let root = repo.workdir()?.canonicalize().ok()?;
            Some((repo, root))
        }))
    }

    fn contains(&self, place: &Path, is_directory: bool) -> bool {
        let Some((repo, root)) = &self.0 else { return false };
        let Ok(path) = place.strip_prefix(root) else { return false };
        // A pattern that ends with a slash matches only a path that does.
        let shown = if is_directory { path.join("") } else { path.to_owned() };
        repo.is_path_ignored(shown).unwrap_or(false) && !is_tracked(repo, path, is_directory)
    }
}

/// Whether git tracks the file, or a file in the directory.
fn is_tracked(repo: &Repository, path: &Path, is_directory: bool) -> bool {
    let Ok(index) = repo.index() else { return false };
    match is_directory {
        true => index.find_prefix(path.join("")).is_ok(),
        false => index.get_path(path, 0).is_some(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let place = root.join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    fn read(directory: &Path) -> Directory {
        read_work_tree(directory, |path| path.ends_with("package.json")).unwrap()
    }

    #[test]
    fn uncommitted_files_count_and_ignored_ones_do_not_unless_they_are_tracked() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let repo = Repository::init(root).unwrap();
        for path in
            ["app/package.json", "app/src/x.js", "app/dist/x.js", "app/kept.log", "app/y.log", "app/node_modules/a/b"]
        {
            write(root, path, "{}");
        }
        write(root, ".gitignore", "dist/\n*.log\n");
        let mut index = repo.index().unwrap();
        index.add_all(["app/kept.log"], git2::IndexAddOption::FORCE, None).unwrap();
        index.write().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("app/link")).unwrap();
        let found = read(&root.join("app"));
        assert_eq!(found.paths, ["kept.log", "link", "package.json", "src/x.js"]);
        assert_eq!(found.texts.into_iter().collect::<Vec<_>>(), [("package.json".to_owned(), "{}".to_owned())]);
    }

    #[test]
    fn files_that_a_build_leaves_out_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [(".dockerignore", "web\n*.lock\n"), ("a.lock", ""), ("web/package.json", "{}"), ("b", "")]
        {
            write(folder.path(), path, text);
        }
        let found = read(folder.path());
        assert_eq!(found.paths, [".dockerignore", "b"]);
        assert!(found.texts.is_empty());
    }

    #[test]
    fn a_directory_outside_of_a_repository_is_read_without_ignore_rules() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), ".gitignore", "*\n");
        write(folder.path(), "a/b.txt", "");
        assert_eq!(read(folder.path()).paths, [".gitignore", "a/b.txt"]);
        assert!(read_work_tree(&folder.path().join("missing"), |_| true).is_err());
    }
}
