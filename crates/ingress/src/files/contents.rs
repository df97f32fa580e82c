//! The files of static sites that tables name.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Weak};

use site_files::StoredSite;

use crate::protocol::{MissingFile, SiteFiles};

/// The open directories by path, as long as a table names them. Their files never change, so a new table does not read
/// them again.
#[derive(Debug, Default)]
pub(crate) struct Contents(HashMap<String, Weak<StoredSite>>);

impl Contents {
    /// Errors are logged. A table that names the directory later tries again.
    fn open(&mut self, path: &str) -> Option<Arc<StoredSite>> {
        if let Some(open) = self.0.get(path).and_then(Weak::upgrade).filter(|it| it.is_at(Path::new(path))) {
            return Some(open);
        }
        match StoredSite::open(Path::new(path)) {
            Ok(site) => {
                let site = Arc::new(site);
                self.0.retain(|_, other| other.strong_count() > 0);
                self.0.insert(path.to_owned(), Arc::downgrade(&site));
                Some(site)
            }
            Err(error) => {
                tracing::warn!(%error, "static site not readable; deploy the app again, which stores its files again");
                None
            }
        }
    }
}

/// The target of a rule that serves files.
#[derive(Debug)]
pub(crate) struct Site {
    /// `None` if its files cannot be read.
    pub current: Option<Arc<StoredSite>>,
    /// Earlier versions, newest first.
    pub earlier: Vec<Arc<StoredSite>>,
    pub index: String,
    pub missing: MissingFile,
}

impl Site {
    pub fn new(files: &SiteFiles, contents: &mut Contents) -> Self {
        let mut directories = files.directories.iter();
        Self {
            current: directories.next().and_then(|path| contents.open(path)),
            earlier: directories.filter_map(|path| contents.open(path)).collect(),
            index: files.index.clone(),
            missing: files.missing.clone(),
        }
    }
}
