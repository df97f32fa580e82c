//! Specs from files: reading them, and saying everything that is wrong with a caret under the spot.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use app_spec::{AppSpec, Code, Diagnostics, Parsed};

use crate::say;

/// More than this is no spec; the reader of specs says so in its own words for anything over 256 KiB.
const LARGEST_FILE: u64 = 1024 * 1024;

/// A spec that can run here. Problems are printed; the error only counts them.
pub fn read(file: &Path) -> anyhow::Result<Parsed> {
    let text = text(file)?;
    let name = shown(file);
    let parsed = match AppSpec::from_yaml(&text) {
        Ok(parsed) => parsed,
        Err(problems) => {
            tell(&problems, &name, &text);
            bail!("{name} is refused; nothing was sent");
        }
    };
    // A value that is open here may be given yet, or be there already.
    let remarks = parsed.remarks().without(Code::NeedsValue);
    tell(&remarks, &name, &text);
    if remarks.has_errors() {
        bail!("{name} asks for what this version cannot run; nothing was sent");
    }
    Ok(parsed)
}

/// Draws what was found, if anything was.
pub fn tell(found: &Diagnostics, name: &str, text: &str) {
    if !found.is_empty() {
        say::note(&say::plain(&found.render(name, text)));
    }
}

/// The whole file, or standard input for `-`.
pub fn text(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = match is_standard_input(file) {
        true => std::io::stdin().take(LARGEST_FILE).read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|it| it.take(LARGEST_FILE).read_to_end(&mut bytes)),
    };
    let length = read.with_context(|| format!("cannot read the spec {}", shown(file)))?;
    // A character that was cut in two is no reason to call a text that is too large anything else.
    if length as u64 == LARGEST_FILE {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    decoded(bytes).with_context(|| format!("cannot read the spec {}", shown(file)))
}

/// UTF-8, or UTF-16 with a mark at its beginning: what the `>` of older PowerShells writes. The mark stays.
pub fn decoded(bytes: Vec<u8>) -> anyhow::Result<String> {
    let units = |of: fn([u8; 2]) -> u16| bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]])).collect::<Vec<_>>();
    let text = match bytes.get(..2) {
        Some([0xff, 0xfe]) => String::from_utf16(&units(u16::from_le_bytes)).context("it is no UTF-16")?,
        Some([0xfe, 0xff]) => String::from_utf16(&units(u16::from_be_bytes)).context("it is no UTF-16")?,
        _ => return String::from_utf8(bytes).map_err(|error| not_utf8(&error)),
    };
    Ok(text)
}

fn not_utf8(error: &std::string::FromUtf8Error) -> anyhow::Error {
    let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line_start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&valid[line_start..]).chars().count() + 1;
    anyhow!("line {line}, column {column} is no UTF-8; save it as UTF-8")
}

pub fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

pub fn shown(file: &Path) -> String {
    if is_standard_input(file) { "standard input".into() } else { file.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: shop\nservices:\n- name: web\n  image: {registry_type: DOCKER_HUB, registry: library, repository: nginx}\n";

    fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("app.yaml");
        std::fs::write(&file, text).expect("writable");
        (directory, file)
    }

    #[test]
    fn a_good_spec_is_read() {
        let (_directory, file) = written(GOOD);
        assert_eq!(read(&file).expect("a good one").spec.name, "shop");
    }

    #[test]
    fn a_bad_spec_is_refused_by_its_name() {
        let (_directory, file) = written(&GOOD.replace("name: web", "nmae: web"));
        assert!(read(&file).map(|_| ()).expect_err("misspelt").to_string().contains("app.yaml is refused"));
    }

    #[test]
    fn utf_16_is_read_and_what_is_no_text_is_told_by_its_place() {
        let text = "\u{feff}name: größe\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!((decoded(little).expect("good"), decoded(big).expect("good")), (text.to_owned(), text.to_owned()));
        let latin_1 = decoded(b"name: shop\n# gr\xf6\xdfe\n".to_vec()).expect_err("no UTF-8").to_string();
        assert!(latin_1.starts_with("line 2, column 5 "), "{latin_1}");
    }

    #[test]
    fn a_large_file_is_called_too_large_wherever_it_is_cut() {
        let (_directory, file) = written(&format!("a{}", "é".repeat(3_000_000)));
        let problems = AppSpec::from_yaml(&text(&file).expect("a text")).expect_err("too large");
        assert!(problems[0].message.contains("more than 262144 bytes"), "{problems}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nonexistent/app.yaml")).map(|_| ()).expect_err("there is none");
        assert!(error.to_string().contains("/nonexistent/app.yaml"));
    }
}
