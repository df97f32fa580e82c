//! The last table and listeners on disk, so that a restarted ingress serves before a controller connects.
//!
//! The snapshot is written and synced before a table is acknowledged. Once a table without an address is acknowledged,
//! the address may be given to another instance, and an older snapshot would route to that instance. If the snapshot
//! cannot be written the table takes effect anyway, because a dead instance must not stay routed; the status reports
//! the failure.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::protocol::{AccessLogFormat, Certificate, Listener, RouteTable, TrustedProxies};

/// Increase it when older programs can no longer read the file.
const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub format: u32,
    pub listeners: Vec<Listener>,
    pub table: RouteTable,
    #[serde(default)]
    pub access_log: AccessLogFormat,
    #[serde(default)]
    pub proxies: TrustedProxies,
}

impl Snapshot {
    pub fn new(listeners: Vec<Listener>, table: RouteTable) -> Self {
        let (access_log, proxies) = (AccessLogFormat::default(), TrustedProxies::default());
        Snapshot { format: FORMAT, listeners, table, access_log, proxies }
    }
}

/// The result of reading the snapshot at startup.
#[derive(Debug)]
pub(crate) enum LoadOutcome {
    Snapshot(Box<Snapshot>),
    Missing,
    /// Not usable. Renamed to this path, for this reason.
    Unusable(PathBuf, String),
}

/// Reads the snapshot. A damaged one, or one of another format, is renamed and never deleted.
pub(crate) fn load(path: &Path) -> io::Result<LoadOutcome> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LoadOutcome::Missing),
        Err(error) => return Err(error),
    };
    let reason = match serde_json::from_slice::<Snapshot>(&text) {
        Ok(snapshot) if snapshot.format == FORMAT => return Ok(LoadOutcome::Snapshot(Box::new(snapshot))),
        Ok(snapshot) => format!("it has format {}, this program reads {FORMAT}", snapshot.format),
        Err(error) => error.to_string(),
    };
    let renamed = path.with_extension("json.bad");
    std::fs::rename(path, &renamed)?;
    Ok(LoadOutcome::Unusable(renamed, reason))
}

/// The certificates are in a file of their own beside the snapshot, which is written with every table.
pub(crate) fn certificates_path(snapshot: &Path) -> PathBuf {
    snapshot.with_file_name("certificates.json")
}

/// The saved certificates. Returns none if the file cannot be read, because the controller sends them again.
pub(crate) fn load_certificates(path: &Path) -> Vec<Certificate> {
    let read = std::fs::read(path).and_then(|text| serde_json::from_slice(&text).map_err(io::Error::from));
    match read {
        Ok(certificates) => certificates,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "cannot read the saved certificates");
            Vec::new()
        }
    }
}

/// Replaces the saved certificates, which only the owner can read.
pub(crate) fn save_certificates(path: &Path, certificates: &[Certificate]) -> io::Result<()> {
    replace(path, &certificates)
}

/// Replaces the snapshot and syncs it. On an error the previous snapshot is intact.
pub(crate) fn save(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    replace(path, snapshot)
}

fn replace(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension("json.new");
    let result = write(&temporary, content).and_then(|()| std::fs::rename(&temporary, path));
    if result.is_err() {
        // Best effort: the next save truncates the file.
        let _ = std::fs::remove_file(&temporary);
        return result;
    }
    std::fs::File::open(folder)?.sync_all()
}

fn write(path: &Path, content: &impl Serialize) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut writer = io::BufWriter::new(file);
    serde_json::to_writer(&mut writer, content)?;
    writer.write_all(b"\n")?;
    writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_saved_snapshot_is_loaded_again_and_only_the_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.json");
        let snapshot = Snapshot::new(Vec::new(), RouteTable { version: 7, ..RouteTable::default() });
        save(&path, &snapshot).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(load(&path).unwrap(), LoadOutcome::Snapshot(loaded) if *loaded == snapshot));
    }

    #[test]
    fn saved_certificates_are_loaded_again_and_only_the_owner_may_read_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = certificates_path(&folder.path().join("routes.json"));
        assert_eq!(load_certificates(&path), []);
        let certificate = Certificate {
            names: vec!["shop.example".to_owned()],
            chain: "chain".to_owned(),
            key: "key".to_owned(),
            minimum_tls_version: Some("1.3".to_owned()),
            redirect_http: true,
        };
        save_certificates(&path, std::slice::from_ref(&certificate)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_certificates(&path), [certificate]);
        std::fs::write(&path, "[{").unwrap();
        assert_eq!(load_certificates(&path), []);
    }

    #[test]
    fn a_damaged_snapshot_or_one_of_another_format_is_renamed() {
        for text in
            ["{\"format\":1,\"listen", "", "{\"format\":2,\"listeners\":[],\"table\":{\"version\":1,\"apps\":[]}}"]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("routes.json");
            std::fs::write(&path, text).unwrap();
            let LoadOutcome::Unusable(renamed, _) = load(&path).unwrap() else { panic!("{text} was loaded") };
            assert_eq!(std::fs::read_to_string(renamed).unwrap(), text);
            assert!(matches!(load(&path).unwrap(), LoadOutcome::Missing));
        }
    }

    #[test]
    fn a_failed_save_leaves_the_old_snapshot_intact() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.json");
        let old = Snapshot::new(Vec::new(), RouteTable { version: 1, ..RouteTable::default() });
        save(&path, &old).unwrap();
        std::fs::create_dir(path.with_extension("json.new")).unwrap();
        save(&path, &Snapshot::new(Vec::new(), RouteTable { version: 2, ..RouteTable::default() })).unwrap_err();
        assert!(matches!(load(&path).unwrap(), LoadOutcome::Snapshot(loaded) if *loaded == old));
    }
}
