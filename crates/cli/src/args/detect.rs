//! `boatyard detect`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OutputFormat;

#[derive(Debug, Args)]
pub struct Detect {
    /// Directory, written with a slash or a dot (./shop), or name of an app
    #[arg(default_value = ".", value_name = "DIR|APP")]
    pub place: String,
    /// Write the generated Dockerfile to this file [default: Dockerfile, in the directory]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "Dockerfile")]
    pub write: Option<PathBuf>,
    /// Component of the app. For a directory, the name of a line in its Procfile
    #[arg(long, value_name = "NAME")]
    pub component: Option<String>,
    /// For a directory: the kind of the component [default: service]
    #[arg(long, value_name = "KIND")]
    pub kind: Option<DetectKind>,
    /// For a directory: the environment_slug of the component
    #[arg(long, value_name = "SLUG")]
    pub slug: Option<String>,
    /// For a directory: the build_command of the component
    #[arg(long, value_name = "COMMAND")]
    pub build_command: Option<String>,
    /// For a directory: the run_command of the component
    #[arg(long, value_name = "COMMAND")]
    pub run_command: Option<String>,
    /// For a directory: base image to use, such as node:22=registry.example.com/node:22; can be repeated
    #[arg(long, value_name = "NAME=IMAGE")]
    pub base_image: Vec<String>,
    /// Format of the result
    #[arg(long, short, default_value = "text", value_name = "FORMAT")]
    pub output: OutputFormat,
}

impl Detect {
    /// A flag that is not for apps.
    pub fn flag_of_directory(&self) -> Option<&'static str> {
        let flags = [
            ("--kind", self.kind.is_some()),
            ("--slug", self.slug.is_some()),
            ("--build-command", self.build_command.is_some()),
            ("--run-command", self.run_command.is_some()),
            ("--base-image", !self.base_image.is_empty()),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DetectKind {
    #[default]
    Service,
    Worker,
    Job,
    StaticSite,
}
