//! What detection of a language reads in a directory: the paths of files, and the texts of some. The same limits apply to a
//! commit and to a directory on disk.

use crate::dockerignore::Dockerignore;
use crate::identity::Directory;

/// How many levels of directories are entered. Manifests of build tools are near the root.
const MAX_DEPTH: usize = 4;
/// How many files and directories are looked at.
const MAX_ENTRIES: usize = 20_000;
/// Paths and texts together fit into one frame of the worker's protocol, even if JSON escapes every second character.
const MAX_BYTES_OF_PATHS: usize = 2 * 1024 * 1024;
const MAX_BYTES_OF_TEXTS: usize = 4 * 1024 * 1024;
/// The size of one text. Lock files of large projects have more than a megabyte. Of larger files, detection knows only that
/// they exist.
const MAX_BYTES_OF_TEXT: u64 = 2 * 1024 * 1024;
/// The file with the patterns of files that builds leave out.
pub(crate) const IGNORE_FILE: &str = ".dockerignore";
/// Builds send this file even if a pattern excludes it.
const ALWAYS: &str = "Dockerfile";
/// Directories that contain other projects and not the source.
const NOT_ENTERED: [&str; 2] = ["node_modules", ".git"];
/// Of vendored packages, only the index in this directory matters.
const VENDORED: &str = "vendor";

/// Collects the files of a directory. The caller walks through it level by level, so that files near the root are found
/// first.
pub(crate) struct DirectoryReader {
    is_wanted: fn(&str) -> bool,
    ignored: Dockerignore,
    found: Directory,
    entries: usize,
    bytes_of_paths: usize,
    bytes_of_texts: usize,
}

impl DirectoryReader {
    /// `is_wanted`: whether to read the text of the file at a path. `ignored`: the content of the directory's
    /// [`IGNORE_FILE`], if it has one. A build refuses a file that cannot be read, and names its mistake.
    pub fn new(is_wanted: fn(&str) -> bool, ignored: Option<&[u8]>) -> Self {
        let ignored = ignored.and_then(text_of).and_then(|text| Dockerignore::parse(&text).ok()).unwrap_or_default();
        Self { is_wanted, ignored, found: Directory::default(), entries: 0, bytes_of_paths: 0, bytes_of_texts: 0 }
    }

    /// Counts an entry. False if the limit is reached: the walk ends then.
    pub fn count(&mut self) -> bool {
        self.entries += 1;
        self.found.cut |= self.entries > MAX_ENTRIES;
        !self.found.cut
    }

    /// Whether to enter the directory at this path.
    pub fn enters(&self, path: &str) -> bool {
        let mut parts = path.rsplit('/');
        let name = parts.next().unwrap_or(path);
        let may_contain_files = self.ignored.has_negations() || !self.ignored.excludes(path);
        path.split('/').count() <= MAX_DEPTH
            && !NOT_ENTERED.contains(&name)
            && parts.all(|parent| parent != VENDORED)
            && may_contain_files
    }

    /// Adds a file or a symbolic link. A name that is not displayable is left out: no build tool looks for it. So is a file
    /// that builds leave out. False: it was left out, and its text does not matter.
    pub fn add(&mut self, path: &str) -> bool {
        if path.chars().any(char::is_control) || (path != ALWAYS && self.ignored.excludes(path)) {
            return false;
        }
        self.bytes_of_paths += path.len();
        self.found.cut |= self.bytes_of_paths > MAX_BYTES_OF_PATHS;
        if !self.found.cut {
            self.found.paths.push(path.to_owned());
        }
        true
    }

    /// Whether to read the text of this regular file.
    pub fn wants(&self, path: &str, size: u64) -> bool {
        size <= MAX_BYTES_OF_TEXT && (self.is_wanted)(path)
    }

    /// Adds the content of a wanted file. A file that is not text is left out, because it may still be that the others show
    /// the language.
    pub fn add_text(&mut self, path: &str, content: &[u8]) {
        let is_binary = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        let Some(text) = text_of(content) else { return };
        let fits = self.bytes_of_texts + text.len() <= MAX_BYTES_OF_TEXTS;
        if !text.contains(is_binary) && fits && content.len() as u64 <= MAX_BYTES_OF_TEXT {
            self.bytes_of_texts += text.len();
            self.found.texts.insert(path.to_owned(), text);
        }
    }

    /// What was found, with the paths sorted.
    pub fn finish(mut self) -> Directory {
        self.found.paths.sort();
        self.found
    }
}

/// The text of a file without its byte order mark, which tells UTF-16 from UTF-8: PowerShell writes lists of requirements
/// in UTF-16. `None`: it is not text.
fn text_of(content: &[u8]) -> Option<String> {
    let utf16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<_> = bytes.chunks_exact(2).map(|it| read([it[0], it[1]])).collect();
        String::from_utf16(&units).ok().filter(|_| bytes.len().is_multiple_of(2))
    };
    match content {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => std::str::from_utf8(rest).ok().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_other_projects_and_deep_ones_are_not_entered() {
        let reader = DirectoryReader::new(|_| false, None);
        let entered = |paths: &[&str]| paths.iter().map(|it| reader.enters(it)).collect::<Vec<_>>();
        assert_eq!(entered(&["src", "vendor", "a/vendor", "a/b/c/d", ".github"]), [true; 5]);
        assert_eq!(
            entered(&["node_modules", "a/node_modules", ".git", "vendor/x", "a/vendor/b", "a/b/c/d/e"]),
            [false; 6]
        );
    }

    #[test]
    fn only_short_texts_of_wanted_files_are_read() {
        let mut reader = DirectoryReader::new(|path| path.ends_with("go.mod"), None);
        assert!(
            reader.wants("a/go.mod", 10)
                && !reader.wants("go.sum", 10)
                && reader.wants("go.mod", 1 << 20)
                && !reader.wants("go.mod", 1 << 22)
        );
        reader.add_text("go.mod", b"module x\r\n");
        reader.add_text("a/go.mod", b"\x1b[2J");
        reader.add_text("b/go.mod", b"\xff");
        assert_eq!(reader.finish().texts.into_keys().collect::<Vec<_>>(), ["go.mod"]);
    }

    #[test]
    fn the_mark_at_the_beginning_says_how_a_text_is_encoded() {
        for (content, expected) in [
            (&b"\xef\xbb\xbfflask\r\n"[..], Some("flask\r\n")),
            (b"\xff\xfef\0l\0\n\0", Some("fl\n")),
            (b"\xfe\xff\0f\0l\0\n", Some("fl\n")),
            (b"\xff\xfef\0l", None),
            (b"\xff\xfe\x00\xd8", None),
            (b"\xff", None),
        ] {
            let mut reader = DirectoryReader::new(|_| true, None);
            reader.add_text("requirements.txt", content);
            assert_eq!(reader.finish().texts.get("requirements.txt").map(String::as_str), expected, "{content:?}");
        }
    }

    #[test]
    fn files_that_builds_leave_out_are_left_out_except_for_the_dockerfile() {
        let added = |ignored: &str, paths: &[&str]| {
            let mut reader = DirectoryReader::new(|_| true, Some(ignored.as_bytes()));
            paths.iter().map(|path| reader.add(path)).collect::<Vec<_>>()
        };
        let paths = ["package-lock.json", "web/package-lock.json", "Dockerfile", "package.json"];
        assert_eq!(added("package-lock.json\n*Dockerfile\n", &paths), [false, true, true, true]);
        assert_eq!(added("[\npackage-lock.json", &paths), [true; 4]);
        let enters = |ignored: &str| DirectoryReader::new(|_| true, Some(ignored.as_bytes())).enters("dist");
        assert_eq!(["dist", "dist/", "dist\n!dist/kept", "x"].map(enters), [false, false, true, true]);
    }

    #[test]
    fn the_rest_of_a_large_directory_is_left_out_and_reported() {
        let mut reader = DirectoryReader::new(|_| false, None);
        for number in 0..MAX_ENTRIES {
            assert!(reader.count());
            reader.add(&format!("{number:05}"));
        }
        assert!(!reader.count());
        let found = reader.finish();
        assert_eq!((found.paths.len(), found.cut), (MAX_ENTRIES, true));
    }
}
