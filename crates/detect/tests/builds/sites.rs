//! Sites of files.

use crate::{SAMPLE, Sample};
use detect::Kind;

pub const SAMPLES: &[Sample] = &[
    Sample { name: "HTML, as a service", files: &[("index.html", "hello 1")], changes: "index.html", ..SAMPLE },
    Sample {
        name: "HTML, static site",
        files: &[("public/index.html", ""), ("build.sh", "mkdir dist; echo 'hello 1' >dist/index.html")],
        changes: "build.sh",
        kind: Kind::StaticSite,
        build_command: Some("sh build.sh\n# a second line"),
        ..SAMPLE
    },
    Sample {
        name: "Hugo",
        files: &[
            ("hugo.toml", "baseURL = '/'\ntitle = 'app'"),
            ("content/_index.md", "hello 1"),
            ("layouts/index.html", "<p>{{ .Content }}</p>"),
        ],
        changes: "content/_index.md",
        kind: Kind::StaticSite,
        ..SAMPLE
    },
];
