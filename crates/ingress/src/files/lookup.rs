//! Finds the file of a path. A path is compared with the paths of files after it was decoded once; it is never given to the
//! file system.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use site_files::{Entry, StoredSite};

use super::contents::Site;
use crate::protocol::MissingFile;

/// What a path leads to.
#[derive(Debug)]
pub(crate) enum Lookup {
    Found(FoundFile),
    /// The path names a directory and lacks the slash at its end. Without it, the links in the directory's document would
    /// lead elsewhere.
    Directory,
    /// There is no file. The document, if the site has it, is sent with status 404.
    Missing(Option<FoundFile>),
}

/// A file of a site.
#[derive(Debug)]
pub(crate) struct FoundFile {
    pub site: Arc<StoredSite>,
    /// The path, from which the type of the content follows.
    pub path: String,
    pub entry: Entry,
}

impl FoundFile {
    /// The file beside this one with an additional extension, which contains it in compressed form.
    pub fn compressed(&self, extension: &str) -> Option<Entry> {
        self.site.index.files.get(&format!("{}.{extension}", self.path)).copied()
    }
}

impl Site {
    /// `path`: of the request, in the site, not decoded. `given`: before the prefix of a route was cut off. `None`: the files
    /// of the site cannot be read.
    pub fn lookup(&self, path: &str, given: &str) -> Option<Lookup> {
        let current = self.current.as_ref()?;
        let file = |path: &str| found(current, path);
        let name = decoded(path);
        let name = name.as_deref();
        let at_path = name.and_then(|name| {
            if !name.is_empty() && !name.ends_with('/') {
                if let Some(file) = file(name) {
                    return Some(Lookup::Found(file));
                }
                return file(&format!("{name}/{}", self.index)).map(|_| Lookup::Directory);
            }
            let document = file(&format!("{name}{}", self.index))?;
            Some(if given.ends_with('/') { Lookup::Found(document) } else { Lookup::Directory })
        });
        if at_path.is_some() {
            return at_path;
        }
        if let Some(name) = name
            && !is_page(name)
            && let Some(file) = self.earlier.iter().find_map(|site| found(site, name))
        {
            return Some(Lookup::Found(file));
        }
        Some(match &self.missing {
            MissingFile::CatchAll(document) => file(document).map_or(Lookup::Missing(None), Lookup::Found),
            MissingFile::Error(document) => Lookup::Missing(file(document)),
        })
    }
}

fn found(site: &Arc<StoredSite>, path: &str) -> Option<FoundFile> {
    let entry = *site.index.files.get(path)?;
    Some(FoundFile { site: Arc::clone(site), path: path.to_owned(), entry })
}

/// Pages are not looked up in earlier versions: a page that was removed is gone at once. What pages refer to is not.
fn is_page(name: &str) -> bool {
    mime_guess::from_path(name).first_raw().is_some_and(|it| matches!(it, "text/html" | "application/xhtml+xml"))
}

/// The path of a file, relative. `None`: no file has it. An encoded slash is no separator, and no name contains one.
fn decoded(path: &str) -> Option<String> {
    let path = path.strip_prefix('/')?;
    let names = path.split('/').map(|name| percent_decode_str(name).decode_utf8().ok().filter(|it| !it.contains('/')));
    let names: Vec<_> = names.collect::<Option<_>>()?;
    Some(names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once_and_keeps_its_segments() {
        for (path, name) in [
            ("/", Some("")),
            ("/a/b.css", Some("a/b.css")),
            ("/a%20b/%C3%A4", Some("a b/ä")),
            ("/a%2520b", Some("a%20b")),
            ("/a//b", Some("a//b")),
            ("/a%2Fb", None),
            ("/a%2fb", None),
            ("/a%FF", None),
            ("a", None),
        ] {
            assert_eq!(decoded(path).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn pages_are_told_from_what_they_refer_to() {
        for (name, expected) in
            [("a.html", true), ("b/C.HTM", true), ("x.xhtml", true), ("app.js", false), ("a", false), ("a.css", false)]
        {
            assert_eq!(is_page(name), expected, "{name}");
        }
    }
}
