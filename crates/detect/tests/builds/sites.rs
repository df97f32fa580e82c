//! Sites of files.

use crate::python::PYPI;
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
    Sample {
        name: "Hugo, HUGO_VERSION",
        files: &[
            ("hugo.toml", "baseURL = '/'\ntitle = 'app'"),
            ("content/_index.md", "hello 1"),
            ("layouts/index.html", "<p>{{ .Content }} {{ hugo.Version }}</p>"),
        ],
        changes: "content/_index.md",
        kind: Kind::StaticSite,
        build_args: &[("HUGO_VERSION", "0.152.2")],
        needs: Some(PYPI),
        ..SAMPLE
    },
    Sample {
        name: "Hugo, a newer theme",
        files: &[
            ("hugo.toml", "baseURL = '/'\ntitle = 'app'\ntheme = 'plain'"),
            ("content/_index.md", "hello 1"),
            ("themes/plain/theme.toml", "min_version = '0.150.0'"),
            ("themes/plain/layouts/index.html", "<p>{{ .Content }}</p>"),
        ],
        changes: "content/_index.md",
        kind: Kind::StaticSite,
        needs: Some(PYPI),
        ..SAMPLE
    },
];
