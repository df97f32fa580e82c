//! Projects in PHP.

use crate::{SAMPLE, Sample};

const COMPOSER: &str =
    r#"{"require": {"php": "8.2.*", "ext-mbstring": "*"}, "autoload": {"psr-4": {"App\\": "src/"}}}"#;
const INDEX: &str = r#"<?php require __DIR__ . "/../vendor/autoload.php"; echo App\Greeting::TEXT, getenv("PORT");"#;
const GREETING: &str = r#"<?php namespace App; class Greeting { const TEXT = "hello 1"; }"#;

pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "PHP, Composer",
        files: &[("composer.json", COMPOSER), ("public/index.php", INDEX), ("src/Greeting.php", GREETING)],
        changes: "src/Greeting.php",
        ..SAMPLE
    },
    Sample {
        name: "PHP, Procfile",
        files: &[
            ("composer.json", COMPOSER),
            ("www/index.php", INDEX),
            ("src/Greeting.php", GREETING),
            ("Procfile", "web: vendor/bin/heroku-php-apache2 www/\n"),
        ],
        changes: "src/Greeting.php",
        ..SAMPLE
    },
    Sample {
        name: "PHP, assets",
        files: &[
            ("composer.json", COMPOSER),
            ("package.json", r#"{"engines": {"node": "18"}, "scripts": {"build": "node build.js"}}"#),
            ("build.js", r#"require("fs").writeFileSync("public/built.txt", "hello 1")"#),
            ("public/index.php", r#"<?php readfile("built.txt");"#),
        ],
        changes: "build.js",
        ..SAMPLE
    },
];
