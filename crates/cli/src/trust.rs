//! `boatyard trust`: makes the system and browsers of this host trust the local certificate authority.
//!
//! The authority can only certify local names, so that its key cannot be used against other sites. Programs that keep the
//! stores are started directly, without a shell.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use controller::certificates::authority;
use data_dir::DataDir;

use crate::args::TrustStore;
use crate::exit::Exit;
use crate::output;

/// A store of the system: files in a directory, which a program collects.
struct SystemStore {
    directory: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
}

const SYSTEM_STORES: [SystemStore; 2] = [
    // Debian, Ubuntu, Alpine.
    SystemStore { directory: "/usr/local/share/ca-certificates", program: "update-ca-certificates", arguments: &[] },
    // Fedora, Red Hat.
    SystemStore { directory: "/etc/pki/ca-trust/source/anchors", program: "update-ca-trust", arguments: &["extract"] },
];

/// Adds the authority to all stores, or removes it. Errors: there is no authority; no store could be changed.
pub fn run(remove: bool, only: Option<TrustStore>, data_dir: &Path) -> anyhow::Result<Exit> {
    let file = authority::certificate_file(&DataDir::certificate_authority_of(data_dir));
    if !file.exists() {
        bail!(
            "{} does not exist: there is no local certificate authority yet. `boatyard serve --https 127.0.0.1:8443` creates \
             it with the first app",
            file.display()
        );
    }
    let name = store_name(&file)?;
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let mut changed = 0;
    let mut results = Vec::new();
    if only != Some(TrustStore::Browsers) {
        results.push(change_system(&file, &name, remove));
    }
    if only != Some(TrustStore::System) {
        results.extend(change_browsers(&file, &name, &home, remove));
    }
    for (store, result) in results {
        match result {
            Ok(()) => {
                changed += 1;
                output::result(&format!("{} {store}", if remove { "removed from" } else { "trusted by" }));
            }
            Err(why) => output::note(&format!("not changed: {store}: {why:#}")),
        }
    }
    if changed == 0 {
        bail!("no store was changed. The authority's certificate is {}", file.display());
    }
    output::note(
        "Restart browsers that are open. Programs with stores of their own (Java, Python's certifi) need the file:",
    );
    output::note(&file.display().to_string());
    Ok(Exit::Done)
}

/// The name of the authority in stores, which is part of its certificate. Two installations have different ones.
fn store_name(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    authority::name_of(&text).with_context(|| format!("{} is not a certificate", file.display()))
}

fn change_system(file: &Path, name: &str, remove: bool) -> (String, anyhow::Result<()>) {
    let Some(store) = SYSTEM_STORES.iter().find(|it| Path::new(it.directory).is_dir()) else {
        return ("the system".to_owned(), Err(anyhow::anyhow!("its store of authorities is not known")));
    };
    let target = Path::new(store.directory).join(format!("{}.crt", name.to_lowercase().replace(' ', "-")));
    let changed = || {
        match remove {
            true => match std::fs::remove_file(&target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                other => other,
            },
            // Everybody may read a certificate. The copy has the mode of the original, which belongs to one user.
            false => std::fs::copy(file, &target)
                .and_then(|_| std::fs::set_permissions(&target, Permissions::from_mode(0o644))),
        }
        .with_context(|| format!("cannot change {} (root can)", target.display()))?;
        run_program(store.program, store.arguments.iter().map(|it| (*it).to_owned()))
    };
    (format!("the system ({})", target.display()), changed())
}

/// Chromium and Firefox keep authorities in databases of NSS.
fn change_browsers(file: &Path, name: &str, home: &Path, remove: bool) -> Vec<(String, anyhow::Result<()>)> {
    databases(home)
        .into_iter()
        .map(|directory| {
            let shown = format!("browsers ({})", directory.display());
            (shown, change_database(&directory, file, name, remove))
        })
        .collect()
}

/// The databases of this person: Chromium's, and one for each profile of Firefox.
fn databases(home: &Path) -> Vec<PathBuf> {
    let mut found = vec![home.join(".pki/nssdb")];
    for profiles in [".mozilla/firefox", "snap/firefox/common/.mozilla/firefox"] {
        let entries = std::fs::read_dir(home.join(profiles)).into_iter().flatten().flatten();
        found.extend(entries.map(|it| it.path()).filter(|it| it.join("cert9.db").exists()));
    }
    found
}

fn change_database(directory: &Path, file: &Path, name: &str, remove: bool) -> anyhow::Result<()> {
    let database = format!("sql:{}", directory.display());
    let certutil = |arguments: &[&str]| {
        let arguments = ["-d", &database].iter().chain(arguments).map(|it| (*it).to_owned()).collect::<Vec<_>>();
        run_program("certutil", arguments)
    };
    if !directory.join("cert9.db").exists() {
        if remove {
            return Ok(());
        }
        // Chromium creates it at its first start, and uses one that exists.
        std::fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        certutil(&["-N", "--empty-password"])?;
    }
    // Fails if the database cannot be opened.
    certutil(&["-L"])?;
    if certutil(&["-L", "-n", name]).is_ok() {
        certutil(&["-D", "-n", name])?;
    }
    match remove {
        true => Ok(()),
        // Trusted to issue certificates for servers, and for nothing else.
        false => certutil(&["-A", "-t", "C,,", "-n", name, "-i", &file.display().to_string()]),
    }
}

fn run_program(program: &str, arguments: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    let run = Command::new(program).args(arguments).output();
    let run = run.with_context(|| match program {
        "certutil" => "cannot run certutil (in Debian: libnss3-tools)".to_owned(),
        _ => format!("cannot run {program}"),
    })?;
    if !run.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&run.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_are_those_of_chromium_and_of_each_profile_of_firefox() {
        let home = tempfile::tempdir().expect("a directory");
        let profile = home.path().join(".mozilla/firefox/abc.default");
        std::fs::create_dir_all(&profile).expect("writable");
        std::fs::create_dir_all(home.path().join(".mozilla/firefox/Crash Reports")).expect("writable");
        std::fs::write(profile.join("cert9.db"), "").expect("writable");
        assert_eq!(databases(home.path()), [home.path().join(".pki/nssdb"), profile]);
    }
}
