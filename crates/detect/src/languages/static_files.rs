//! Static files: an `index.html` without a program. Also the stage that serves files, for all languages that build sites.

use super::{Detected, Finding, Language, Module, quoted};
use crate::bases::{DEBIAN, NGINX};
use crate::dockerfile::{Dockerfile, WORKDIR};
use crate::project::Project;
use crate::request::{Kind, Request};
use crate::system_packages::SystemPackages;
use crate::undetected::Undetected;

pub(super) const MODULE: Module =
    Module { language: Language::StaticFiles, slugs: &["html"], looks_for: "index.html", evidence, build };

/// With a `package.json`, Node.js builds the files.
fn evidence(project: &Project) -> Option<String> {
    let files =
        if project.has("package.json") { &[][..] } else { &["index.html", "public/index.html", "dist/index.html"] };
    project.first(files).map(str::to_owned)
}

/// A page of a static site, whose index may have another name.
pub(super) fn page(project: &Project, request: &Request<'_>) -> Option<String> {
    if request.kind != Kind::StaticSite {
        return None;
    }
    project.paths().find(|path| path.ends_with(".html")).map(str::to_owned)
}

/// Where the platform looks for a site, in this order.
const OUTPUT_DIRS: [&str; 4] = ["_static", "dist", "public", "build"];

fn build(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let mut dockerfile = Dockerfile::new(project, request, "Static files");
    dockerfile.build_stage(&DEBIAN, DEBIAN.default, "build");
    let system = SystemPackages::new(project, []);
    system.install(&mut dockerfile);
    dockerfile.copy_sources();
    if let Some(command) = request.build_command {
        dockerfile.run(command, &[]);
    }
    let as_it_is = request.kind == Kind::StaticSite && request.build_command.is_none();
    let others = if as_it_is { TOP } else { &[] };
    let site = plain(project).unwrap_or(Site { own: others, fallback: Fallback::NotFound });
    Ok(serve(dockerfile, request, Language::StaticFiles, site, Vec::from_iter(system.finding())))
}

/// The platform's directories, else the source.
const TOP: &[&str] = &["_static", "dist", "public", "build", "."];

/// A site whose index is at the top of the source, unless the build makes another. `None`: there is no such index.
pub(super) fn plain(project: &Project) -> Option<Site> {
    project.has("index.html").then_some(Site { own: TOP, fallback: Fallback::NotFound })
}

/// nginx reads no variables.
const SERVE: &str = "sed \"s/PORT;/${PORT:-8080};/\" /etc/nginx/site.conf >/tmp/nginx.conf && exec nginx -e /dev/stderr -c /tmp/nginx.conf";

/// The files of a site in the stage `build`, and how they are served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// Where the framework writes them. These directories are tried before those of the platform.
    pub own: &'static [&'static str],
    pub fallback: Fallback,
}

/// What a request for a missing file gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    /// The error page.
    NotFound,
    /// The index, because a script in the browser reads the path.
    Index,
}

/// Ends a Dockerfile whose stage `build` has made a site: finds the files and serves them.
pub(super) fn serve(
    mut dockerfile: Dockerfile<'_>,
    request: &Request<'_>,
    language: Language,
    site: Site,
    mut findings: Vec<Finding>,
) -> Detected {
    let directories: Vec<String> = match request.output_dir {
        // Frameworks' directories may contain a pattern, people's are names.
        Some(directory) => vec![quoted(&format!("./{}", directory.trim_matches('/'))).into_owned()],
        None => {
            let others = OUTPUT_DIRS.into_iter().filter(|it| !site.own.contains(it));
            site.own.iter().copied().chain(others).map(str::to_owned).collect()
        }
    };
    findings.push(match request.output_dir {
        Some(directory) => Finding::new(format!("files of the site in {directory}"), "output_dir"),
        None => Finding::new(format!("files of the site in the first of {}", directories.join(", ")), "default"),
    });
    if request.kind == Kind::Service && request.run_command.is_none() {
        findings.push(Finding::new("nginx serves the files of the site", "the service has no start command"));
    }
    dockerfile.run(&find_site(&directories), &[]);
    if request.kind == Kind::StaticSite {
        let to = request.output_dir.unwrap_or(OUTPUT_DIRS[1]);
        dockerfile.files_only("build", "/site", &format!("{WORKDIR}/{}/", to.trim_matches('/')));
        return Detected { language, findings, dockerfile: dockerfile.text(), start: None };
    }
    let command = request.run_command.is_none().then_some(SERVE);
    dockerfile.final_stage(&NGINX, NGINX.default);
    dockerfile.file("/etc/nginx/site.conf", &configuration(site.fallback));
    // nginx ends open requests first at this signal. Other programs may not expect it.
    dockerfile.line(if command.is_some() { "STOPSIGNAL SIGQUIT" } else { "STOPSIGNAL SIGTERM" });
    dockerfile.user();
    dockerfile.copy_app("build", "/site", "./");
    dockerfile.start(command);
    Detected { language, findings, dockerfile: dockerfile.text(), start: command.map(str::to_owned) }
}

/// Copies the first directory that contains an index, or else the first that exists, to `/site`.
fn find_site(directories: &[String]) -> String {
    let all = directories.join(" ");
    format!(
        "for dir in {all}; do if [ -f \"$dir/index.html\" ]; then exec cp -R \"$dir\" /site; fi; done; \
         for dir in {all}; do if [ -d \"$dir\" ]; then exec cp -R \"$dir\" /site; fi; done; \
         echo \"error: the build made none of these directories: {all}. Set output_dir.\" >&2; exit 1"
    )
}

fn configuration(fallback: Fallback) -> String {
    let (last, error_page) = match fallback {
        Fallback::NotFound => ("=404", "\n    error_page 404 /404.html;"),
        Fallback::Index => ("/index.html", ""),
    };
    format!(
        "daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log /dev/stderr warn;
events {{ }}
http {{
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  charset utf-8;
  access_log /dev/stdout;
  sendfile on;
  server_tokens off;
  absolute_redirect off;
  gzip on;
  gzip_vary on;
  gzip_types text/css text/javascript application/javascript application/json application/xml image/svg+xml;
  client_body_temp_path /tmp/nginx-body;
  proxy_temp_path /tmp/nginx-proxy;
  fastcgi_temp_path /tmp/nginx-fastcgi;
  uwsgi_temp_path /tmp/nginx-uwsgi;
  scgi_temp_path /tmp/nginx-scgi;
  server {{
    listen PORT;
    root {WORKDIR};{error_page}
    location ~ /\\.(?!well-known/) {{ return 404; }}
    location / {{ try_files $uri $uri.html $uri/ {last}; }}
  }}
}}"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Bases, detect, testing};

    #[test]
    fn files_are_served_on_the_port_of_the_platform() {
        let detected = testing::service(&[("index.html", ""), ("style.css", "")]);
        assert_eq!(detected.language, Language::StaticFiles);
        assert!(detected.dockerfile.contains("FROM nginx:1\nENV PORT=8080\n"), "{}", detected.dockerfile);
        assert!(detected.dockerfile.contains("for dir in _static dist public build .;"), "{}", detected.dockerfile);
        assert!(detected.start.unwrap().contains("exec nginx"));
    }

    #[test]
    fn the_image_of_a_static_site_holds_only_its_files() {
        let project = Project::of(&[("public/index.html", "")]);
        let bases = Bases::default();
        let mut request = Request::new("web", Kind::StaticSite, &bases);
        request.output_dir = Some("/public/");
        request.build_command = Some("make site");
        let detected = detect(&project, &request).unwrap();
        assert_eq!(detected.start, None);
        assert!(detected.dockerfile.contains("RUN make site\n"), "{}", detected.dockerfile);
        assert!(detected.dockerfile.contains("for dir in ./public; do"), "{}", detected.dockerfile);
        let last_stage = "\nFROM scratch\nWORKDIR /workspace\nCOPY --from=build [\"/site/\",\"/workspace/public/\"]\n";
        assert!(detected.dockerfile.ends_with(last_stage), "{}", detected.dockerfile);
        assert!(!detected.dockerfile.contains("nginx"), "{}", detected.dockerfile);
    }

    #[test]
    fn the_directory_of_a_static_site_keeps_its_name_in_the_image() {
        let last_line = |output_dir: Option<&str>| {
            let (project, bases) = (Project::of(&[("index.html", "")]), Bases::default());
            let request = Request { output_dir, ..Request::new("web", Kind::StaticSite, &bases) };
            detect(&project, &request).unwrap().dockerfile.lines().last().unwrap().to_owned()
        };
        for (output_dir, expected) in [
            (None, r#"["/site/","/workspace/dist/"]"#),
            (Some("_site/html"), r#"["/site/","/workspace/_site/html/"]"#),
            (Some("."), r#"["/site/","/workspace/./"]"#),
            (Some("/my site"), r#"["/site/","/workspace/my site/"]"#),
            (Some("$HOME"), r#"["/site/","/workspace/\\$HOME/"]"#),
        ] {
            assert_eq!(last_line(output_dir), format!("COPY --from=build {expected}"));
        }
    }

    #[test]
    fn files_without_an_index_are_a_static_site_too_if_nothing_is_built() {
        let (project, bases) = (Project::of(&[("start.html", "")]), Bases::default());
        let mut request = Request::new("web", Kind::StaticSite, &bases);
        let text = detect(&project, &request).unwrap().dockerfile;
        assert!(text.contains("for dir in _static dist public build .;"), "{text}");
        request.build_command = Some("make");
        let text = detect(&project, &request).unwrap().dockerfile;
        assert!(text.contains("for dir in _static dist public build;"), "{text}");
        request.kind = Kind::Service;
        assert!(detect(&project, &request).is_err(), "a service needs an index or a program");
    }
}
