//! Projects in Go and Rust.

use crate::{Registry, SAMPLE, Sample};

const CRATES: Registry =
    Registry { name: "crates.io", base: "boatyard-local/base-rust:1", command: "cargo info itoa --registry crates-io" };

const GO: &str = r#"package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		text, _ := os.ReadFile("templates/page.html")
		answer.Write(text)
	})
	http.ListenAndServe(":"+os.Getenv("PORT"), nil)
}
"#;

const RUST: &str = r#"use std::io::{Read, Write};

fn main() {
    let port = std::env::var("PORT").unwrap();
    for stream in std::net::TcpListener::bind(format!("0.0.0.0:{port}")).unwrap().incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let text = greeting::text();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).unwrap();
    }
}
"#;

pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "Go",
        files: &[
            ("go.mod", "module example.com/app\n\ngo 1.19\n"),
            ("main.go", GO),
            ("templates/page.html", "hello 1"),
        ],
        changes: "templates/page.html",
        ..SAMPLE
    },
    Sample {
        name: "Go, cmd",
        files: &[
            ("go.mod", "module example.com/app\n"),
            ("app.go", "package app\n\nconst Text = `hello 1`\n"),
            (
                "cmd/web/main.go",
                "package main\n\nimport (\n\t\"net/http\"\n\t\"os\"\n\n\t\"example.com/app\"\n)\n\nfunc main() {\n\thttp.ListenAndServe(\":\"+os.Getenv(\"PORT\"), http.HandlerFunc(func(it http.ResponseWriter, _ *http.Request) { it.Write([]byte(app.Text)) }))\n}\n",
            ),
            ("cmd/import/main.go", "package main\n\nfunc main() {}\n"),
        ],
        changes: "app.go",
        ..SAMPLE
    },
    Sample {
        name: "Rust, workspace",
        files: &[
            ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n"),
            (
                "crates/app/Cargo.toml",
                "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\ngreeting = { path = \"../greeting\" }\n",
            ),
            ("crates/app/src/main.rs", RUST),
            ("crates/greeting/Cargo.toml", "[package]\nname = \"greeting\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"),
            ("crates/greeting/src/lib.rs", "pub fn text() -> &'static str {\n    \"hello 1\"\n}\n"),
        ],
        changes: "crates/greeting/src/lib.rs",
        ..SAMPLE
    },
    Sample {
        name: "Go, vendored",
        files: &[
            ("go.mod", "module example.com/app\n\ngo 1.19\n\nrequire example.com/greeting v1.0.0\n"),
            ("vendor/modules.txt", "# example.com/greeting v1.0.0\n## explicit\nexample.com/greeting\n"),
            ("vendor/example.com/greeting/greeting.go", "package greeting\n\nconst Text = `hello 1`\n"),
            (
                "main.go",
                "package main\n\nimport (\n\t\"net/http\"\n\t\"os\"\n\n\t\"example.com/greeting\"\n)\n\nfunc main() {\n\thttp.ListenAndServe(\":\"+os.Getenv(\"PORT\"), http.HandlerFunc(func(it http.ResponseWriter, _ *http.Request) { it.Write([]byte(greeting.Text)) }))\n}\n",
            ),
        ],
        changes: "vendor/example.com/greeting/greeting.go",
        ..SAMPLE
    },
    Sample {
        name: "Rust, a crate",
        files: &[
            (
                "Cargo.toml",
                "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"=1.0.11\"\n",
            ),
            (
                "Cargo.lock",
                r#"version = 3

[[package]]
name = "app"
version = "1.0.0"
dependencies = [
 "itoa",
]

[[package]]
name = "itoa"
version = "1.0.11"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "49f1f14873335454500d59611f1cf4a4b0f786f9ac11f4312a78e4cf2566695b"
"#,
            ),
            (
                "src/main.rs",
                r#"use std::io::{Read, Write};

fn main() {
    let port = std::env::var("PORT").unwrap();
    for stream in std::net::TcpListener::bind(format!("0.0.0.0:{port}")).unwrap().incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let mut number = itoa::Buffer::new();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\nhello 1", number.format(7)).unwrap();
    }
}
"#,
            ),
        ],
        changes: "src/main.rs",
        needs: Some(CRATES),
        ..SAMPLE
    },
];
