//! The configuration file, with the servers that `boatyard auth init` saved. It contains tokens, so only its owner may
//! read it.

use std::collections::BTreeMap;
use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use data_dir::private_files;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::UsageError;
use crate::output;

/// How long a command waits for another one that changes the file. A change takes milliseconds.
const LOCKED_WITHIN: Duration = Duration::from_secs(10);

/// The configuration file with its path.
pub struct ConfigFile {
    pub path: PathBuf,
    pub config: Config,
}

/// The saved servers.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Name of the current context.
    #[serde(rename = "context", skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    pub contexts: BTreeMap<String, Context>,
    /// Keys that this version does not know. They are kept.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

/// A server with the token for it.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Context {
    pub api_url: String,
    pub token: String,
    /// File of an authority whose certificates to trust, besides those of the system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<PathBuf>,
    /// Keys that this version does not know. They are kept.
    #[serde(flatten)]
    pub unknown: BTreeMap<String, Value>,
}

impl ConfigFile {
    /// Reads the file; an empty configuration if there is none. If others may read the file, takes that right from them and
    /// prints a note. Errors: it cannot be read, is damaged, or others may change it.
    pub fn load() -> anyhow::Result<Self> {
        match default_path() {
            Some(path) => Self::load_from(path),
            None => Ok(Self::none()),
        }
    }

    /// Reads the file, changes the configuration and saves it, while no other command does. Errors: those of
    /// [`Self::load`], `change` and [`Self::save`]; nothing was saved then.
    pub fn update<T>(change: impl FnOnce(&mut Self) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let _lock = default_path().as_deref().map(lock_beside).transpose()?;
        let mut file = Self::load()?;
        let changed = change(&mut file)?;
        file.save()?;
        Ok(changed)
    }

    /// An empty configuration without a file.
    pub fn none() -> Self {
        Self { path: PathBuf::new(), config: Config::default() }
    }

    fn load_from(path: PathBuf) -> anyhow::Result<Self> {
        protect(&path)?;
        let read = private_files::read_small(&path);
        let config = match read.with_context(|| format!("cannot read {}", path.display()))? {
            Some(bytes) => parse(&bytes).map_err(|place| damaged(&path, &place))?,
            None => Config::default(),
        };
        Ok(Self { path, config })
    }

    /// Replaces the file atomically, with mode 0600 in a directory with mode 0700. If the path is a link, replaces the file
    /// that it leads to.
    fn save(&self) -> anyhow::Result<()> {
        if self.path.as_os_str().is_empty() {
            bail!("neither XDG_CONFIG_HOME nor HOME is set, so there is no place for the configuration file");
        }
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        // That of the link, which is ours. The file that it leads to may be in any directory.
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        let text = serde_yaml::to_string(&self.config).context("cannot write the configuration as YAML")?;
        let write = || {
            private_files::make_directory(directory)?;
            std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
            private_files::write_whole(&path, text.as_bytes())
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// The context of this name. Errors: there is none, or it lacks a key.
    pub fn context(&self, name: &str) -> anyhow::Result<&Context> {
        let found = self.config.contexts.get(name).ok_or_else(|| self.no_context(name))?;
        let missing = match found {
            Context { api_url, .. } if api_url.is_empty() => "api-url",
            Context { token, .. } if token.is_empty() => "token",
            _ => return Ok(found),
        };
        Err(anyhow!(
            "context {name} in {} has no {missing}. Save it again: boatyard auth init --context {name} --api-url URL",
            self.path.display()
        ))
    }

    /// The error that there is no such context, which lists the others.
    pub fn no_context(&self, name: &str) -> anyhow::Error {
        let names: Vec<_> = self.config.contexts.keys().map(String::as_str).collect();
        let known = match names[..] {
            [] => "none is saved. Save one: boatyard auth init --context NAME --api-url URL".to_owned(),
            _ => format!("{} contains {}", self.path.display(), names.join(", ")),
        };
        UsageError(format!("there is no context {name:?}; {known}")).into()
    }
}

/// The path by the variables of this process. `None`: neither of them is set.
fn default_path() -> Option<PathBuf> {
    path_from(|name| std::env::var_os(name).map(PathBuf::from))
}

/// `$XDG_CONFIG_HOME/boatyard/config.yaml`, or `~/.config/boatyard/config.yaml`. The XDG specification says to ignore a
/// relative path.
fn path_from(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name: &str| variable(name).filter(|path| path.is_absolute());
    let base = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    base.map(|base| base.join("boatyard/config.yaml"))
}

/// Locks the file `config.lock` beside the configuration until the result is dropped. Errors: another command has held the
/// lock for [`LOCKED_WITHIN`].
fn lock_beside(path: &Path) -> anyhow::Result<File> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let lock_path = directory.join("config.lock");
    let open = || private_files::make_directory(directory).and_then(|()| private_files::open_or_make(&lock_path));
    let file = open().with_context(|| format!("cannot write {}", lock_path.display()))?;
    let deadline = Instant::now() + LOCKED_WITHIN;
    while let Err(problem) = file.try_lock() {
        match problem {
            TryLockError::WouldBlock if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            _ => bail!("another `boatyard auth` holds {}. Try again when it has ended", lock_path.display()),
        }
    }
    Ok(file)
}

/// Takes the rights of others to read the file. A file that others may write is refused, because it may lead to their
/// server.
fn protect(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => bail!("{shown} is not a file. Remove it, and run: boatyard auth init"),
        Ok(found) if ![0, rustix::process::geteuid().as_raw()].contains(&found.uid()) => bail!(
            "{shown} belongs to another user, who can change it, and it decides where tokens are sent. Set \
             XDG_CONFIG_HOME to a directory of this user"
        ),
        _ => {}
    }
    let mode = private_files::open_to_others(path).with_context(|| format!("cannot read {shown}"))?;
    match mode {
        None => Ok(()),
        Some(mode) if mode & 0o022 != 0 => bail!(
            "other users may change {shown} (mode {mode:04o}), which decides where tokens are sent. Check its content, \
             then run: chmod 600 {shown}"
        ),
        Some(mode) => {
            std::fs::set_permissions(path, Permissions::from_mode(0o600))
                .with_context(|| format!("other users may read {shown} (mode {mode:04o}), and it contains tokens"))?;
            output::note(&format!(
                "note: other users could read {shown} (mode {mode:04o}). Its mode is now 0600. Replace its tokens if \
                 other users have accounts here"
            ));
            Ok(())
        }
    }
}

/// Errors: the place of the mistake. The message of the parser may contain a token.
fn parse(bytes: &[u8]) -> Result<Config, String> {
    let read: Result<Option<Config>, _> = serde_yaml::from_slice(bytes);
    match read {
        Ok(config) => Ok(config.unwrap_or_default()),
        Err(error) => Err(error.location().map(|at| format!(", line {}", at.line())).unwrap_or_default()),
    }
}

fn damaged(path: &Path, place: &str) -> anyhow::Error {
    let shown = path.display();
    anyhow!(
        "{shown}{place}: this is not a configuration of boatyard. Correct it, or delete it and run: boatyard auth init"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "t0p-s3cret";

    fn file(directory: &tempfile::TempDir, text: &str, mode: u32) -> PathBuf {
        let path = directory.path().join("config.yaml");
        std::fs::write(&path, text).expect("writable");
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("the file is ours");
        path
    }

    fn loaded(text: &str, mode: u32) -> Result<Config, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(&directory, text, mode);
        ConfigFile::load_from(path).map(|it| it.config).map_err(|error| format!("{error:#}"))
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("it exists").permissions().mode() & 0o777
    }

    fn one(context: Context) -> Config {
        Config { current: Some("default".into()), contexts: [("default".into(), context)].into(), ..Config::default() }
    }

    #[test]
    fn the_path_follows_the_xdg_specification() {
        let path = |set: &[(&str, &str)]| {
            let found = path_from(|name| set.iter().find(|(key, _)| *key == name).map(|(_, path)| PathBuf::from(path)));
            found.map(|it| it.display().to_string()).unwrap_or_default()
        };
        assert_eq!(path(&[("XDG_CONFIG_HOME", "/c"), ("HOME", "/h")]), "/c/boatyard/config.yaml");
        assert_eq!(path(&[("HOME", "/h")]), "/h/.config/boatyard/config.yaml");
        assert_eq!(path(&[("XDG_CONFIG_HOME", "relative"), ("HOME", "/h")]), "/h/.config/boatyard/config.yaml");
        assert_eq!(path(&[]), "");
    }

    #[test]
    fn a_saved_file_is_private_and_contains_what_was_saved() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("boatyard/config.yaml");
        let context = Context { api_url: "https://h:7443".into(), token: "1234".into(), ..Context::default() };
        ConfigFile { path: path.clone(), config: one(context) }.save().expect("writable");
        assert_eq!((mode(&path), mode(path.parent().expect("a directory"))), (0o600, 0o700));
        let read = ConfigFile::load_from(path).expect("readable");
        let context = read.context("default").expect("saved");
        assert_eq!((context.api_url.as_str(), context.token.as_str()), ("https://h:7443", "1234"));
        assert_eq!(read.config.current.as_deref(), Some("default"));
    }

    #[test]
    fn saving_through_a_link_replaces_the_file_and_keeps_the_link() {
        let (elsewhere, here) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        std::fs::set_permissions(elsewhere.path(), Permissions::from_mode(0o755)).expect("the directory is ours");
        let target = file(&elsewhere, "{}", 0o600);
        let link = here.path().join("config.yaml");
        std::os::unix::fs::symlink(&target, &link).expect("writable");
        let context = Context { api_url: "http://h".into(), token: TOKEN.into(), ..Context::default() };
        ConfigFile { path: link.clone(), config: one(context) }.save().expect("writable");
        assert!(link.is_symlink() && std::fs::read_to_string(target).expect("readable").contains(TOKEN));
        assert_eq!(mode(elsewhere.path()), 0o755);
    }

    #[test]
    fn the_mode_of_a_file_that_others_could_read_is_corrected() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(&directory, "contexts: {}", 0o644);
        assert!(ConfigFile::load_from(path.clone()).is_ok());
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn a_directory_and_the_file_of_another_user_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let refused = |path: PathBuf| ConfigFile::load_from(path).map(|_| ()).expect_err("refused").to_string();
        assert!(refused(directory.path().to_owned()).contains("is not a file"));
        let path = file(&directory, "contexts: {}", 0o600);
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(65_534), None).is_ok() {
            assert!(refused(path).contains("belongs to another user"));
        }
    }

    #[test]
    fn changes_at_the_same_time_wait_for_each_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("boatyard/config.yaml");
        let held = lock_beside(&path).expect("free");
        assert!(held.metadata().is_ok_and(|it| it.permissions().mode() & 0o777 == 0o600));
        let (waits, path_there) = (std::sync::mpsc::channel(), path.clone());
        let other = std::thread::spawn(move || {
            lock_beside(&path_there).expect("it becomes free");
            waits.0.send(()).expect("the test listens");
        });
        assert!(waits.1.try_recv().is_err(), "the lock is held");
        drop(held);
        other.join().expect("no panic");
        assert!(waits.1.recv().is_ok());
    }

    #[test]
    fn a_file_that_others_may_change_is_refused() {
        let error = loaded("contexts: {}", 0o660).map(|_| ()).expect_err("refused");
        assert!(error.contains("mode 0660") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_reported_with_its_line_and_without_its_tokens() {
        for text in
            ["contexts:\n  default: t0p-s3cret\n", "context: [\n", "t0p-s3cret", "contexts:\n- t0p-s3cret\n", "\u{0}"]
        {
            let error = loaded(text, 0o600).map(|_| ()).expect_err(text);
            assert!(error.contains("config.yaml") && error.contains("auth init"), "{error}");
            assert!(!error.contains(TOKEN), "{error}");
        }
        let error = loaded("contexts:\n  a: {api-url: [x]}\n", 0o600).map(|_| ()).expect_err("a list");
        assert!(error.contains("config.yaml"), "{error}");
        assert!(loaded("", 0o600).is_ok_and(|it| it.contexts.is_empty()));
    }

    #[test]
    fn unknown_keys_are_kept() {
        let text = "context: a\nfuture: {x: 1}\ncontexts:\n  a: {api-url: http://h, token: t, color: blue}\n";
        let directory = tempfile::tempdir().expect("a directory");
        let path = file(&directory, text, 0o600);
        ConfigFile::load_from(path.clone()).expect("readable").save().expect("writable");
        let written: Value = serde_yaml::from_str(&std::fs::read_to_string(path).expect("readable")).expect("YAML");
        assert_eq!((&written["future"]["x"], &written["contexts"]["a"]["color"]), (&1.into(), &"blue".into()));
    }

    #[test]
    fn a_context_that_is_unknown_or_incomplete_is_an_error() {
        let error = |config: Config, name: &str| {
            let file = ConfigFile { path: "/c/config.yaml".into(), config };
            file.context(name).map(|_| ()).expect_err("refused").to_string()
        };
        let context = Context { api_url: "http://h".into(), ..Context::default() };
        assert!(error(Config::default(), "prod").contains("none is saved. Save one: boatyard auth init"));
        assert_eq!(
            error(one(context.clone()), "prod"),
            "there is no context \"prod\"; /c/config.yaml contains default"
        );
        assert!(error(one(context), "default").contains("context default in /c/config.yaml has no token"));
        assert!(error(one(Context::default()), "default").contains("no api-url"));
    }
}
