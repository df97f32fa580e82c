//! Reads specs from files and prints their problems.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use app_spec::{AppSpec, Code, Diagnostics, Parsed};

use crate::output;

/// How much of a file to read. The parser refuses any spec over 256 KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads a spec that this version can run. Prints its problems.
pub fn read(file: &Path) -> anyhow::Result<Parsed> {
    let written = Written::read(file)?;
    written.check()?;
    Ok(written.parsed)
}

/// A valid spec, and the file that it is from.
pub struct Written {
    pub parsed: Parsed,
    text: String,
    name: String,
}

impl Written {
    /// Reads a spec that this version may be unable to run. Errors: it is not valid; prints its problems.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let (text, name) = (text(file)?, display_name(file));
        match AppSpec::from_yaml(&text) {
            Ok(parsed) => Ok(Self { parsed, text, name }),
            Err(problems) => {
                print_problems(&problems, &name, &text);
                bail!("{name} is not a valid spec; nothing was sent");
            }
        }
    }

    /// Prints what is remarkable about the spec. Errors: this version cannot run it.
    pub fn check(&self) -> anyhow::Result<()> {
        // A missing value may come from a flag, from a prompt or from the existing app.
        let remarks = self.parsed.remarks().without(Code::NeedsValue);
        print_problems(&remarks, &self.name, &self.text);
        if remarks.has_errors() {
            bail!("{} needs a feature that this version cannot run; nothing was sent", self.name);
        }
        Ok(())
    }
}

/// Prints problems, if there are any.
pub fn print_problems(found: &Diagnostics, name: &str, text: &str) {
    if !found.is_empty() {
        output::note(&found.render(name, text));
    }
}

/// The content of the file, or of standard input for `-`.
pub fn text(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let read = match is_standard_input(file) {
        true => std::io::stdin().take(MAX_FILE_BYTES).read_to_end(&mut bytes),
        false => std::fs::File::open(file).and_then(|it| it.take(MAX_FILE_BYTES).read_to_end(&mut bytes)),
    };
    let length = read.with_context(|| format!("cannot read {}", display_name(file)))?;
    // The file is too large, which the parser reports. The cut may have split a character, so decode lossily.
    if length as u64 == MAX_FILE_BYTES {
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    decoded(bytes).with_context(|| format!("cannot read {}", display_name(file)))
}

/// Decodes UTF-8, or UTF-16 with a byte order mark, which `>` in Windows PowerShell writes. Keeps the mark.
pub fn decoded(bytes: Vec<u8>) -> anyhow::Result<String> {
    let units = |of: fn([u8; 2]) -> u16| bytes.chunks_exact(2).map(|pair| of([pair[0], pair[1]])).collect::<Vec<_>>();
    let text = match bytes.get(..2) {
        Some([0xff, 0xfe]) => String::from_utf16(&units(u16::from_le_bytes)).context("it is not valid UTF-16")?,
        Some([0xfe, 0xff]) => String::from_utf16(&units(u16::from_be_bytes)).context("it is not valid UTF-16")?,
        _ => return String::from_utf8(bytes).map_err(|error| not_utf8(&error)),
    };
    Ok(text)
}

fn not_utf8(error: &std::string::FromUtf8Error) -> anyhow::Error {
    let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line_start = valid.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&valid[line_start..]).chars().count() + 1;
    anyhow!("line {line}, column {column} is not valid UTF-8. Save the file as UTF-8")
}

pub fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

pub fn display_name(file: &Path) -> String {
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
    fn the_error_names_an_invalid_spec() {
        let (_directory, file) = written(&GOOD.replace("name: web", "nmae: web"));
        assert!(read(&file).map(|_| ()).expect_err("misspelt").to_string().contains("app.yaml is not a valid spec"));
    }

    #[test]
    fn utf_16_is_read_and_invalid_utf_8_is_an_error_with_its_position() {
        let text = "\u{feff}name: größe\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!((decoded(little).expect("good"), decoded(big).expect("good")), (text.to_owned(), text.to_owned()));
        let latin_1 = decoded(b"name: shop\n# gr\xf6\xdfe\n".to_vec()).expect_err("no UTF-8").to_string();
        assert!(latin_1.starts_with("line 2, column 5 "), "{latin_1}");
    }

    #[test]
    fn a_large_file_is_reported_as_too_large_wherever_it_is_cut() {
        let (_directory, file) = written(&format!("a{}", "é".repeat(3_000_000)));
        let problems = AppSpec::from_yaml(&text(&file).expect("a text")).expect_err("too large");
        assert!(problems[0].message.contains("more than 262144 bytes"), "{problems}");
    }

    #[test]
    fn the_error_names_a_missing_file() {
        let error = read(Path::new("/nonexistent/app.yaml")).map(|_| ()).expect_err("there is none");
        assert!(error.to_string().contains("/nonexistent/app.yaml"));
    }
}
