//! The files of static sites that tables name.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use site_files::StoredSite;

use crate::protocol::{MissingFile, RouteTable, SiteFiles, Target};

/// The open directories that a table names, by path.
pub(crate) type OpenSites = HashMap<String, Arc<StoredSite>>;

/// Opens the directories that a table names. Those in `known` are not read again, because the files of a directory never
/// change. Blocks: an index may be large. Errors are logged; a table that names the directory later tries again.
pub(crate) fn open(table: &RouteTable, known: &OpenSites) -> OpenSites {
    let rules = table.apps.iter().flat_map(|app| &app.rules);
    let directories = rules.filter_map(|rule| match &rule.target {
        Target::Files { files } => Some(&files.directories),
        Target::Instances { .. } | Target::Redirect { .. } | Target::Unknown(_) => None,
    });
    let mut sites = OpenSites::new();
    for path in directories.flatten() {
        if !sites.contains_key(path)
            && let Some(site) = known.get(path).filter(|it| it.is_at(Path::new(path))).cloned().or_else(|| read(path))
        {
            sites.insert(path.clone(), site);
        }
    }
    sites
}

fn read(path: &str) -> Option<Arc<StoredSite>> {
    match StoredSite::open(Path::new(path)) {
        Ok(site) => Some(Arc::new(site)),
        Err(error) => {
            tracing::warn!(%error, "static site not readable; deploy the app again, which stores its files again");
            None
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
    /// `open`: what [`open`] returned for the table.
    pub fn new(files: &SiteFiles, open: &OpenSites) -> Self {
        let mut directories = files.directories.iter();
        Self {
            current: directories.next().and_then(|path| open.get(path).cloned()),
            earlier: directories.filter_map(|path| open.get(path).cloned()).collect(),
            index: files.index.clone(),
            missing: files.missing.clone(),
        }
    }
}
