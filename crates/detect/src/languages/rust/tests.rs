#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{self, assert_order};

const PACKAGE: (&str, &str) = ("Cargo.toml", "[package]\nname = \"shop\"\n");
const MAIN: (&str, &str) = ("src/main.rs", "");

fn detected(component: &str, files: &[(&str, &str)]) -> Result<Detected, Undetected> {
    testing::detected(component, Kind::Service, files)
}

#[test]
fn a_small_image_runs_the_binary_that_is_copied_out_of_the_cache() {
    let detected = detected("web", &[PACKAGE, MAIN, ("Cargo.lock", "")]).unwrap();
    assert_eq!(detected.language, Language::Rust);
    assert_eq!(detected.findings[1].to_string(), "Rust stable (the default)");
    assert_eq!(detected.start.as_deref(), Some("target/release/shop"));
    assert_order(
        &detected.dockerfile,
        &[
            "FROM rust:1 AS build\n",
            "ENV RUSTUP_TOOLCHAIN=$RUST_VERSION\n",
            "COPY . .\n",
            "target=/target,sharing=locked find /target",
            "-exec touch {} + && cargo build --release --locked &&",
            "FROM debian:13-slim\n",
            "COPY --from=build --chown=app:app /workspace ./\n",
        ],
    );
}

#[test]
fn the_program_is_the_default_that_of_the_component_or_the_only_one() {
    let workspace = ("Cargo.toml", "[workspace]\nmembers = [\"./crates/*\", \"tools\"]\n");
    let api = ("crates/api/Cargo.toml", "[package]\nname = \"api\"\n");
    let bins =
        "[package]\nname = \"shop\"\ndefault-run = \"serve\"\n[[bin]]\nname = \"serve\"\npath = \"src/main.rs\"\n";
    for (component, files, expected) in [
        ("web", &[PACKAGE, ("src/bin/serve.rs", "")][..], "target/release/serve"),
        ("web", &[PACKAGE, ("src/bin/serve/main.rs", ""), ("src/bin/serve/routes.rs", "")], "target/release/serve"),
        ("import", &[PACKAGE, MAIN, ("src/bin/import.rs", "")], "target/release/import"),
        ("web", &[("Cargo.toml", bins), MAIN, ("src/bin/import.rs", "")], "target/release/serve"),
        ("web", &[workspace, api, ("crates/api/src/main.rs", ""), ("x/Cargo.toml", PACKAGE.1)], "target/release/api"),
        (
            "web",
            &[("Cargo.toml", "[package]\nname = \"shop\"\n[dependencies]\nrocket = \"0.5\"\n"), MAIN],
            "ROCKET_PORT=$PORT exec target/release/shop",
        ),
    ] {
        let detected = detected(component, files).unwrap();
        assert_eq!(detected.start.as_deref(), Some(expected), "{files:?}");
    }
    for (files, expected) in [
        (&[PACKAGE, ("src/lib.rs", "")][..], "Add a binary, such as src/main.rs, or a Procfile, or set `run_command`"),
        (&[PACKAGE, MAIN, ("src/bin/import.rs", "")], "one of the binaries import, shop, or add a Procfile"),
    ] {
        let error = detected("web", files).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_released_toolchain_is_an_image_and_rustup_downloads_others() {
    for (file, text, image, finding) in [
        ("rust-toolchain", "1.80.1\n", "FROM rust:1.80.1 AS build", "Rust 1.80.1 (rust-toolchain)"),
        (
            "rust-toolchain",
            "[toolchain]\nchannel = \"1.80\"\n",
            "FROM rust:1.80 AS build",
            "Rust 1.80 (rust-toolchain)",
        ),
        (
            "rust-toolchain.toml",
            "[toolchain]\nchannel = \"nightly-2026-01-01\"\n",
            "FROM rust:1 AS build",
            "Rust nightly-2026-01-01, which rustup downloads (rust-toolchain.toml)",
        ),
    ] {
        let detected = detected("web", &[PACKAGE, MAIN, (file, text)]).unwrap();
        assert!(detected.dockerfile.contains(image), "{}", detected.dockerfile);
        assert_eq!(detected.findings[1].to_string(), finding);
        assert_eq!(detected.dockerfile.contains("RUSTUP_TOOLCHAIN"), !finding.contains("rustup"));
    }
}

#[test]
fn a_toolchain_that_is_no_name_is_refused() {
    for text in ["1.80\nRUN id", "", "stable; id"] {
        let error = detected("web", &[PACKAGE, MAIN, ("rust-toolchain", text)]).unwrap_err().to_string();
        assert!(error.starts_with("rust-toolchain asks for "), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn a_package_in_the_root_of_a_workspace_is_not_built_alone() {
    let files = |manifest| {
        let member = [("tool/Cargo.toml", "[package]\nname = \"tool\"\n"), ("tool/src/main.rs", "fn main() {}")];
        [("Cargo.toml", manifest), ("src/lib.rs", ""), member[0], member[1]]
    };
    let of_both = detected("web", &files("[package]\nname = \"shop\"\n[workspace]\nmembers = [\"tool\"]\n")).unwrap();
    assert_eq!(of_both.start.as_deref(), Some("target/release/tool"));
    assert!(of_both.dockerfile.contains("cargo build --release --workspace"), "{}", of_both.dockerfile);
    assert!(!detected("web", &[PACKAGE, MAIN]).unwrap().dockerfile.contains("--workspace"));
}

#[test]
fn a_workspace_with_very_many_members_and_files_is_read_in_time() {
    let members: Vec<_> = (0..20_000).map(|n| format!("\"none{n}/*\", \"crates/c{n}\"")).collect();
    let manifest = format!("[workspace]\nmembers = [{}]\n", members.join(", "));
    let paths: Vec<_> =
        (0..10_000).flat_map(|n| [format!("crates/c{n}/Cargo.toml"), format!("crates/c{n}/src/lib.rs")]).collect();
    let mut files: Vec<_> = paths.iter().map(|path| (path.as_str(), "[package]\nname = \"c\"\n")).collect();
    files.extend([("Cargo.toml", manifest.as_str()), ("crates/c7/src/main.rs", "")]);
    assert_eq!(detected("web", &files).unwrap().start.as_deref(), Some("target/release/c"));
}

#[test]
fn a_manifest_with_a_mistake_is_named() {
    let error = detected("web", &[("Cargo.toml", "[package\n"), MAIN]).unwrap_err().to_string();
    assert!(error.starts_with("Cargo.toml cannot be read: "), "{error}");
}
