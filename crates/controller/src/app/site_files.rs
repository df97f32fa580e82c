//! The files of static sites: taken out of their images, served by the ingress, and removed.
//!
//! The files of an image are stored once, in a directory below that of the app, whose name follows from the image and the
//! spec. A deployment records the name with the image. So a deployment that is interrupted finds the files, and a restart
//! and a rollback serve the same ones.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::site_files::{Limits as SiteLimits, StoredSite, UnpackError, Unpacked, remove, unpack};
use app_spec::{AppSpec, Component, MissingDocument, StaticSite};
use builder::LogSink;
use bytes::Bytes;
use engine::{ContainerSpec, EngineError, Identity, Limits, Role, TarStream};
use futures::StreamExt;
use ingress::protocol::{MissingFile, SiteFiles};
use rollout::ids::{AppId, ComponentName, DeploymentId};
use rollout::site_files;
use sha2::{Digest, Sha256};
use store::records::{Deployment, Image, SiteContent};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::Shared;
use super::context::Context;
use super::prebuilt::patiently;
use super::records::Records;
use crate::clock;

/// Where the files of a site are in its image, if the spec does not say, as on App Platform. Relative to `WORKDIR`.
const OUTPUT_DIRS: [&str; 4] = ["_static", "dist", "public", "build"];

/// What the ingress serves for a component of a deployment. `None`: it is no static site, or has no files yet.
pub(super) fn serving(
    sites: &Path,
    records: &Records,
    deployment: &Deployment,
    spec: &AppSpec,
    component: &str,
) -> Option<SiteFiles> {
    let Some(Component::StaticSite(site)) = spec.component(component) else { return None };
    let name = ComponentName::from(component);
    let id = |it: &Deployment| it.images.get(&name)?.files.as_ref().map(|it| it.id.clone());
    let current = id(deployment)?;
    let active = records.active().and_then(id);
    let earlier = records.app.earlier_files.get(&name).map(Vec::as_slice).unwrap_or_default();
    let ids = site_files::serving(&current, active.as_deref(), earlier, clock::now());
    let of_app = directory_of(sites, &records.app.id);
    let missing = match site.missing_document() {
        MissingDocument::Error(path) => MissingFile::Error(path),
        MissingDocument::CatchAll(path) => MissingFile::CatchAll(path),
    };
    Some(SiteFiles {
        directories: ids.into_iter().map(|id| of_app.join(id).to_string_lossy().into_owned()).collect(),
        index: site.index_document(),
        missing,
    })
}

fn directory_of(sites: &Path, app: &AppId) -> PathBuf {
    sites.join(app.as_str())
}

/// The files of one static site of a deployment, still in an image.
pub(super) struct Extraction {
    app: AppId,
    deployment: DeploymentId,
    component: ComponentName,
    /// Name of the container from which the files are read. It is never started.
    container: String,
    site: StaticSite,
}

impl Extraction {
    /// `None`: the component is no static site.
    pub fn of(cx: &Context, deployment: &Deployment, component: Component<'_>) -> Option<Self> {
        let Component::StaticSite(site) = component else { return None };
        let component = ComponentName::from(site.name.as_str());
        let container = cx.shared.names.files(&cx.records.app.id, &component, deployment.number);
        let (app, deployment) = (cx.records.app.id.clone(), deployment.id.clone());
        Some(Self { app, deployment, component, container, site: site.clone() })
    }

    /// Stores the files of the image, unless they are stored already. Errors: a sentence.
    pub async fn run(&self, shared: &Shared, image: &Image, sink: &LogSink) -> Result<SiteContent, String> {
        let id = content_id(&image.id, self.output_dir());
        let to = directory_of(&shared.sites, &self.app).join(&id);
        let checked = to.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            if let Some(stored) = StoredSite::open_complete(&checked) {
                return Ok(Some(stored));
            }
            // What is there is damaged, and would stand in the way of the new files.
            match remove(&checked) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(None),
            }
        });
        let prepared = prepared.await.map_err(|error| error.to_string())?;
        let present =
            prepared.map_err(|error| format!("damaged files in {} cannot be removed: {error}", to.display()))?;
        let stored = if let Some(stored) = present {
            sink("The files of the site are stored already");
            stored
        } else {
            let result = self.read_image(shared, image, &to, sink).await;
            // In any case: the engine may have created it although the answer was lost. What stays is removed as a
            // container that no record explains.
            if let Err(error) = shared.engine.remove(&self.container).await {
                warn!(container = %self.container, %error, "could not be removed yet");
            }
            result?;
            let opened = tokio::task::spawn_blocking(move || StoredSite::open(&to)).await;
            opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?
        };
        let files = &stored.index.files;
        let content = SiteContent { id, files: files.len() as u64, bytes: files.values().map(|it| it.size).sum() };
        sink(&format!("The site has {} files with {} bytes", content.files, content.bytes));
        for note in self.absent_documents(&stored) {
            sink(&note);
        }
        Ok(content)
    }

    async fn read_image(&self, shared: &Shared, image: &Image, to: &Path, sink: &LogSink) -> Result<(), String> {
        let said = |error: EngineError| error.to_string();
        let defaults = patiently(|| shared.engine.image_defaults(&image.id), sink).await.map_err(said)?;
        let spec = self.container(image);
        // One of another image may be left from a process that was killed.
        patiently(|| shared.engine.remove(&self.container), sink).await.map_err(said)?;
        patiently(|| shared.engine.create(&spec), sink).await.map_err(said)?;
        let places = places(self.output_dir(), &defaults.working_dir);
        for place in &places {
            let found = patiently(|| shared.engine.directory(&self.container, place), sink).await.map_err(said)?;
            let Some(stream) = found else { continue };
            sink(&format!("Taking the files of the site from {place}"));
            let unpacked = store(stream, place, to).await?;
            unpacked.notes.iter().for_each(|note| sink(note));
            return Ok(());
        }
        Err(match self.output_dir() {
            Some(directory) => format!("the image has no directory {directory:?}, which output_dir names"),
            None => format!(
                "the image has none of the directories {}. Set output_dir to the directory with the files of the site",
                places.join(", ")
            ),
        })
    }

    /// A blank one counts as none, as for detection.
    fn output_dir(&self) -> Option<&str> {
        Component::StaticSite(&self.site).build_fields()?.output_dir
    }

    fn container(&self, image: &Image) -> ContainerSpec {
        ContainerSpec {
            name: self.container.clone(),
            identity: Identity {
                role: Role::Pin,
                app: self.app.to_string(),
                component: self.component.to_string(),
                slot: 0,
                revision: String::new(),
                generation: 0,
                deployment: self.deployment.to_string(),
            },
            image: image.id.clone(),
            // An image of files has no command, and an engine creates no container without one.
            command: Some(vec!["/none".into()]),
            env: Vec::new(),
            network: None,
            hosts: Vec::new(),
            published: Vec::new(),
            volume: None,
            limits: Limits { cpu_millis: 0, memory_bytes: 0 },
            stop_grace: Duration::ZERO,
            stop_signal: None,
        }
    }

    fn absent_documents(&self, stored: &StoredSite) -> Vec<String> {
        let mut named = vec![("index_document", self.site.index_document())];
        match self.site.missing_document() {
            MissingDocument::CatchAll(path) => named.push(("catchall_document", path)),
            MissingDocument::Error(path) if self.site.error_document.is_some() => named.push(("error_document", path)),
            MissingDocument::Error(_) => {}
        }
        let absent = named.into_iter().filter(|(_, path)| !stored.index.files.contains_key(path));
        absent.map(|(field, path)| format!("Note: the site has no file {path}, which {field} names")).collect()
    }
}

fn content_id(image: &str, output_dir: Option<&str>) -> String {
    let mut hash = Sha256::new();
    for field in [image, output_dir.unwrap_or_default()] {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hex::encode(&hash.finalize()[..16])
}

/// Where the files may be in the image, in the order in which the paths are tried.
fn places(output_dir: Option<&str>, working_dir: &str) -> Vec<String> {
    let working_dir = if working_dir.is_empty() { "/" } else { working_dir };
    let below = |path: &str| normal(&format!("{working_dir}/{path}"));
    let mut places = match output_dir {
        // The root of the image always exists, and contains much more than the site unless the working directory is the root.
        Some(path) if normal(path) == "/" => vec![below(path)],
        Some(path) if path.starts_with('/') => vec![normal(path), below(path)],
        Some(path) => vec![below(path), normal(path)],
        None => OUTPUT_DIRS.map(below).to_vec(),
    };
    places.dedup();
    places
}

/// An absolute path without `.` and `..`.
fn normal(path: &str) -> String {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// Writes the files of a stream on a blocking thread. If this future is dropped, the thread finds that the stream has ended
/// early, and removes what it wrote.
async fn store(mut stream: TarStream, directory: &str, to: &Path) -> Result<Unpacked, String> {
    let (sender, receiver) = mpsc::channel(4);
    let (directory, to) = (directory.to_owned(), to.to_owned());
    let unpacking = tokio::task::spawn_blocking(move || {
        let mut reader = ChannelReader { receiver, piece: Bytes::new(), ended: false };
        let unpacked = unpack(&mut reader, &directory, &to, SiteLimits::default());
        // The padding after the last entry.
        while unpacked.is_ok() && matches!(reader.receiver.blocking_recv(), Some(Ok(Some(_)))) {}
        unpacked
    });
    let feeding = async {
        while let Some(piece) = stream.next().await {
            let piece = piece.map(Some).map_err(|error| io::Error::other(error.to_string()));
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                return;
            }
        }
        // The receiver is gone if the unpacking has failed.
        let _ = sender.send(Ok(None)).await;
    };
    feeding.await;
    drop(sender);
    let unpacked = unpacking.await.map_err(|error| error.to_string())?;
    unpacked.map_err(|error: UnpackError| error.to_string())
}

/// Reads the pieces of a stream. `None` marks its end, so that a stream that was dropped is not taken for a complete one.
struct ChannelReader {
    receiver: mpsc::Receiver<io::Result<Option<Bytes>>>,
    piece: Bytes,
    ended: bool,
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Ok(Some(piece))) => self.piece = piece,
                Some(Ok(None)) => self.ended = true,
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

/// The directories of the app that something may still need: a deployment on record, an earlier version, or the ingress.
/// `served`: the directories that the ingress may still serve.
pub(super) fn needed(records: &Records, served: &[&str]) -> BTreeSet<String> {
    let of_deployments = records.deployments.iter().flat_map(|it| it.site_files().into_values());
    let earlier = records.app.earlier_files.values().flatten().map(|it| it.id.clone());
    let name = |path: &&str| Some(Path::new(path).file_name()?.to_str()?.to_owned());
    of_deployments.chain(earlier).chain(served.iter().filter_map(name)).collect()
}

/// Removes the directories of an app except those in `needed`. Blocks.
pub(super) fn remove_others(sites: &Path, app: &AppId, needed: &BTreeSet<String>) -> io::Result<()> {
    let of_app = directory_of(sites, app);
    let entries = match std::fs::read_dir(&of_app) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_none_or(|name| !needed.contains(name)) {
            info!(directory = %entry.path().display(), "removing files of a static site that nothing needs");
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes all files of a deleted app.
pub(super) async fn remove_all(shared: &Shared, app: &AppId) {
    let path = directory_of(&shared.sites, app);
    let removed = tokio::fs::remove_dir_all(&path).await;
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(directory = %path.display(), %error, "files of a deleted app could not be removed yet; trying again");
    }
}

/// Removes the files of deleted apps, which a crash during a deletion can leave behind. Errors: a directory cannot be read or
/// removed.
pub(crate) async fn sweep(sites: &Path, deleted: &BTreeSet<AppId>) -> io::Result<()> {
    let mut entries = match tokio::fs::read_dir(sites).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    while let Some(entry) = entries.next_entry().await? {
        if entry.file_name().to_str().is_some_and(|name| deleted.contains(&AppId::from(name))) {
            info!(directory = %entry.path().display(), "removing the files of a deleted app");
            tokio::fs::remove_dir_all(entry.path()).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_files_are_looked_for_where_the_platform_looks() {
        for (output_dir, working_dir, expected) in [
            (None, "/app", &["/app/_static", "/app/dist", "/app/public", "/app/build"][..]),
            (None, "", &["/_static", "/dist", "/public", "/build"]),
            (Some("/usr/share/nginx/html"), "/", &["/usr/share/nginx/html"]),
            (Some("/dist"), "/app", &["/dist", "/app/dist"]),
            (Some("web/dist/"), "/app/", &["/app/web/dist", "/web/dist"]),
            (Some("../dist"), "/app", &["/dist"]),
            (Some("../../../etc"), "/app", &["/etc"]),
            (Some("."), "/app", &["/app"]),
            (Some("/"), "/app", &["/app"]),
            (Some("/"), "", &["/"]),
        ] {
            assert_eq!(places(output_dir, working_dir), expected, "{output_dir:?} in {working_dir:?}");
        }
    }

    #[test]
    fn the_name_of_the_stored_files_depends_on_the_image_and_the_directory() {
        let ids = [("sha256:1", None), ("sha256:2", None), ("sha256:1", Some("dist")), ("sha256:1", Some("public"))];
        let ids: BTreeSet<_> = ids.into_iter().map(|(image, directory)| content_id(image, directory)).collect();
        assert_eq!(ids.len(), 4);
        assert!(ids.iter().all(|it| it.len() == 32));
    }

    #[tokio::test]
    async fn a_stream_that_breaks_off_stores_nothing_and_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        builder.append_data(&mut header, "d", &[][..]).unwrap();
        let whole = builder.into_inner().unwrap();
        let broken = EngineError::Timeout { verb: "directory", after: Duration::from_secs(1) };
        let pieces = [Ok(Bytes::from(whole[..512].to_vec())), Err(broken)];
        let error = store(futures::stream::iter(pieces).boxed(), "/d", &folder.path().join("1")).await.unwrap_err();
        assert!(error.starts_with("cannot read the files of the image: "), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn directories_that_nothing_needs_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let app = AppId::from("a");
        for name in ["a/1", "a/2", "a/draft.new", "b/1"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        remove_others(folder.path(), &app, &BTreeSet::from(["2".to_owned()])).unwrap();
        remove_others(folder.path(), &AppId::from("none"), &BTreeSet::new()).unwrap();
        let left = ["a/1", "a/2", "a/draft.new", "b/1"].map(|it| folder.path().join(it).exists());
        assert_eq!(left, [false, true, false, true]);
    }

    #[tokio::test]
    async fn the_files_of_deleted_apps_are_removed_and_those_of_unknown_apps_stay() {
        let folder = tempfile::tempdir().unwrap();
        let deleted = BTreeSet::from([AppId::from("deleted")]);
        sweep(&folder.path().join("none"), &deleted).await.unwrap();
        for name in ["deleted/1/a", "serving/1", "newer-than-the-database/1"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        sweep(folder.path(), &deleted).await.unwrap();
        let left = ["deleted", "serving/1", "newer-than-the-database/1"].map(|it| folder.path().join(it).exists());
        assert_eq!(left, [false, true, true]);
    }
}
