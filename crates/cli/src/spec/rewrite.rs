//! `spec fmt`: a spec laid out, printed or put in place of the file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use app_spec::format_spec;

use super::file::{display_name, is_standard_input, print_problems, text};
use crate::exit::{Exit, UsageError};
use crate::output;

/// Each file by itself: one that cannot be formatted holds up no other.
pub fn run(files: &[PathBuf], write: bool, check: bool) -> anyhow::Result<Exit> {
    if write && files.iter().any(|file| is_standard_input(file)) {
        return Err(UsageError("--write needs a file; standard input cannot be replaced".into()).into());
    }
    let mut all_fine = true;
    for file in files {
        match one(file, write, check) {
            Ok(exit) => all_fine &= exit == Exit::Done,
            Err(error) => {
                output::error(&format!("{error:#}"));
                all_fine = false;
            }
        }
    }
    Ok(if all_fine { Exit::Done } else { Exit::Failed })
}

fn one(file: &Path, write: bool, check: bool) -> anyhow::Result<Exit> {
    let text = text(file)?;
    let name = display_name(file);
    let formatted = match format_spec(&text) {
        Ok(formatted) => formatted,
        Err(problems) => {
            print_problems(&problems, &name, &text);
            bail!("{name} cannot be formatted; nothing was written");
        }
    };
    if check {
        let changes = formatted != text;
        output::note(&format!("{name} {}", if changes { "would change" } else { "is formatted" }));
        return Ok(if changes { Exit::Failed } else { Exit::Done });
    }
    match write {
        true if formatted == text => {}
        true => replace(file, &formatted)?,
        false => output::result(&formatted),
    }
    Ok(Exit::Done)
}

/// Puts `text` in place of the file at once, so that nobody ever sees half of it. Its permissions stay.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let replaced = || {
        // Behind a link, the file itself.
        let file = std::fs::canonicalize(file)?;
        let beside = file.with_extension(format!("boatyard-{}", std::process::id()));
        let mut new = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
        let done = new
            .set_permissions(std::fs::metadata(&file)?.permissions())
            .and_then(|()| new.write_all(text.as_bytes()))
            .and_then(|()| new.sync_all())
            .and_then(|()| std::fs::rename(&beside, &file));
        if done.is_err() {
            // What is left of it is in nobody's way.
            let _ = std::fs::remove_file(&beside);
        }
        done
    };
    replaced().with_context(|| format!("cannot write {}; it is as it was", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOSE: &str = "databases: [ {name: db} ] # one\nname:   shop\n";
    const TIDY: &str = "name: shop\ndatabases: [{name: db}] # one\n";

    #[test]
    fn a_file_is_replaced_with_its_permissions_or_left_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("app.yaml");
        std::fs::write(&file, LOOSE).expect("writable");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("ours");
        assert_eq!(run(std::slice::from_ref(&file), false, true).expect("readable"), Exit::Failed);
        assert_eq!(run(std::slice::from_ref(&file), true, false).expect("writable"), Exit::Done);
        assert_eq!(std::fs::read_to_string(&file).expect("readable"), TIDY);
        assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(run(std::slice::from_ref(&file), false, true).expect("readable"), Exit::Done);
        assert_eq!(std::fs::read_dir(directory.path()).expect("readable").count(), 1);
    }

    #[test]
    fn a_refused_file_stays_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("app.yaml");
        std::fs::write(&file, "name: [\n").expect("writable");
        assert_eq!(run(std::slice::from_ref(&file), true, false).expect("told"), Exit::Failed);
        assert_eq!(std::fs::read_to_string(&file).expect("readable"), "name: [\n");
    }

    #[test]
    fn one_that_cannot_be_formatted_holds_up_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let [missing, loose] = ["missing.yaml", "loose.yaml"].map(|name| directory.path().join(name));
        std::fs::write(&loose, LOOSE).expect("writable");
        assert_eq!(run(&[missing, loose.clone()], true, false).expect("told"), Exit::Failed);
        assert_eq!(std::fs::read_to_string(&loose).expect("readable"), TIDY);
    }

    #[test]
    fn standard_input_cannot_be_replaced() {
        let error = run(&["-".into()], true, false).expect_err("no file");
        assert_eq!(Exit::of(&error), Exit::Usage);
    }
}
