#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{assert_order, detected, service};
use crate::{Bases, detect};

const MAIN: &str = "package main\n\nfunc main() {}\n";

#[test]
fn dependencies_come_before_the_sources_and_a_small_image_runs_a_static_binary() {
    let detected = service(&[("go.mod", "module example.com/shop\n\ngo 1.22.3\n"), ("go.sum", ""), ("main.go", MAIN)]);
    assert_eq!(detected.language, Language::Go);
    assert_eq!(detected.findings[1].to_string(), "Go 1.26 (go.mod: >=1.22.3)");
    assert_eq!(detected.start.as_deref(), Some("bin/shop"));
    assert_order(
        &detected.dockerfile,
        &[
            "FROM golang:1.26 AS build\n",
            "CGO_ENABLED=0\n",
            "COPY [\"go.mod\",\"go.sum\",\"./\"]\n",
            "go mod download\n",
            "COPY . .\n",
            "-o bin/ .\n",
            "FROM debian:13-slim\n",
            "COPY --from=build /etc/ssl/certs/ca-certificates.crt",
            "COPY --from=build --chown=app:app /workspace ./\n",
            "USER app\n",
        ],
    );
}

#[test]
fn the_program_is_that_of_the_component_that_in_the_root_or_the_only_one() {
    let module = ("go.mod", "module github.com/me/shop/v2 // the name\n");
    for (component, files, expected) in [
        ("web", &[module, ("main.go", MAIN), ("cmd/import/main.go", MAIN)][..], "bin/shop"),
        ("import", &[module, ("main.go", MAIN), ("cmd/import/main.go", MAIN)], "bin/import"),
        ("web", &[module, ("shop.go", "package shop\n"), ("cmd/api/server.go", MAIN)], "bin/api"),
        ("web", &[module, ("cmd/main.go", MAIN)], "bin/cmd"),
        ("web", &[module, ("cmd/my api/main.go", MAIN)], "'bin/my api'"),
        ("web", &[module, ("main_test.go", MAIN), ("cmd/api/main.go", MAIN), ("cmd/api/x.go", MAIN)], "bin/api"),
        ("web", &[module, ("main.go", MAIN), ("Procfile", "web: bin/shop -v")], "bin/shop -v"),
    ] {
        let detected = detected(component, Kind::Service, files).unwrap();
        assert_eq!(detected.start.as_deref(), Some(expected), "{files:?}");
    }
    for (files, expected) in [
        (&[module][..], "Add a main package in the root or below cmd, or a Procfile, or set `run_command`"),
        (&[module, ("cmd/a/main.go", MAIN), ("cmd/b/main.go", MAIN)], "one of the programs a, b, or add a Procfile"),
    ] {
        let error = detected("web", Kind::Service, files).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_build_command_replaces_the_build_and_a_run_command_the_start() {
    let project = Project::of(&[("go.mod", "module shop"), ("service/main.go", MAIN)]);
    let bases = Bases::default();
    let mut request = Request::new("web", Kind::Service, &bases);
    request.build_command = Some("go build -o server ./service");
    request.run_command = Some("./server");
    let detected = detect(&project, &request).unwrap();
    assert!(detected.dockerfile.contains(" go build -o server ./service\n"), "{}", detected.dockerfile);
    assert!(!detected.dockerfile.contains("-o bin/"), "{}", detected.dockerfile);
    assert_eq!(detected.start, None);
}

#[test]
fn modules_in_c_are_compiled_and_local_or_vendored_ones_are_not_downloaded() {
    let sqlite = "module shop\nrequire (\n\tgithub.com/mattn/go-sqlite3 v1.14.22 // indirect\n)\n";
    for (module, more, expected, absent) in [
        (sqlite, "go.sum", "CGO_ENABLED=1", "CGO_ENABLED=0"),
        ("module shop\nrequire github.com/mattn/go-sqlite3-x v1.0.0\n", "go.sum", "CGO_ENABLED=0", "CGO_ENABLED=1"),
        ("module shop\nreplace example.com/x => ./x\n", "go.sum", "COPY . .", "go mod download"),
        ("module shop\n", "vendor/modules.txt", "RUN rm -rf vendor", "go mod download"),
    ] {
        let text = service(&[("go.mod", module), ("main.go", MAIN), (more, "")]).dockerfile;
        assert!(text.contains(expected) && !text.contains(absent), "{text}");
    }
}

#[test]
fn a_newer_go_than_all_images_is_an_error() {
    let error = detected("web", Kind::Service, &[("go.mod", "module shop\ngo 1.99\n"), ("main.go", MAIN)]).unwrap_err();
    assert!(error.to_string().starts_with("go.mod asks for Go >=1.99, but Boatyard has 1."), "{error}");
}
