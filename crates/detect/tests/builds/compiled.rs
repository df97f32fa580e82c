//! Projects in Go and Rust.

use crate::{SAMPLE, Sample};

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
];
