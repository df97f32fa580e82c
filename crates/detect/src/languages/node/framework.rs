//! The frameworks: what their build makes, a server or a site, and where.

use super::{Fallback, Finding, Package, Site};
use crate::project::Project;

#[derive(Debug, Clone, Copy)]
pub(super) struct Framework {
    pub title: &'static str,
    /// The dependency that shows it.
    package: &'static str,
    /// Starts the server that the build made.
    pub server: Option<&'static str>,
    /// What this server needs of the build, from a path below the working directory to another. Empty: everything.
    pub bundle: &'static [(&'static str, &'static str)],
    /// The site that the build made.
    pub site: Option<Site>,
    /// The script that builds a static site, if it is not `build`.
    pub site_script: Option<&'static str>,
    /// The beginnings of commands that serve the sources to developers.
    development: &'static [&'static str],
    /// What to do if the build makes neither a server nor a site, as an imperative sentence without a period.
    pub help: &'static str,
    /// Whether `start` is for development and `start:prod` for production.
    pub has_production_script: bool,
    /// Variables of the image that runs.
    pub variables: &'static [&'static str],
    /// Directories that make the next build faster.
    pub caches: &'static [&'static str],
}

/// The server with all that it needs, as Next.js makes it with `output: "standalone"`.
const NEXT_STANDALONE: &[(&str, &str)] =
    &[(".next/standalone", "./"), (".next/static", "./.next/static"), ("public", "./public")];

/// What to do if nothing says how a program starts.
pub(super) const HELP: &str = "Add a script \"start\" to package.json, or a file server.js";

const EMPTY: Framework = Framework {
    title: "",
    package: "",
    server: None,
    bundle: &[],
    site: None,
    site_script: None,
    development: &[],
    help: HELP,
    has_production_script: false,
    variables: &[],
    caches: &[],
};

/// A site whose pages are files.
const fn pages(own: &'static [&'static str]) -> Option<Site> {
    Some(Site { own, fallback: Fallback::NotFound })
}

/// A site with one page, whose script reads the path.
const fn one_page(own: &'static [&'static str]) -> Option<Site> {
    Some(Site { own, fallback: Fallback::Index })
}

/// Frameworks that need no look at their configuration. Those that use others come before them.
const TABLE: &[Framework] = &[
    Framework {
        title: "NestJS",
        package: "@nestjs/core",
        server: Some("node dist/main"),
        development: &["nest start"],
        has_production_script: true,
        ..EMPTY
    },
    Framework { title: "Gatsby", package: "gatsby", site: pages(&["public"]), development: &["gatsby"], ..EMPTY },
    Framework {
        title: "Docusaurus",
        package: "@docusaurus/core",
        site: pages(&["build"]),
        development: &["docusaurus"],
        ..EMPTY
    },
    Framework {
        title: "Eleventy",
        package: "@11ty/eleventy",
        site: pages(&["_site"]),
        development: &["eleventy", "npx @11ty/eleventy"],
        ..EMPTY
    },
    Framework { title: "Hexo", package: "hexo", site: pages(&["public"]), development: &["hexo"], ..EMPTY },
    Framework {
        title: "VitePress",
        package: "vitepress",
        site: pages(&[".vitepress/dist", "docs/.vitepress/dist"]),
        development: &["vitepress"],
        ..EMPTY
    },
    Framework {
        title: "Create React App",
        package: "react-scripts",
        site: one_page(&["build"]),
        development: &["react-scripts", "craco", "react-app-rewired"],
        ..EMPTY
    },
    Framework {
        title: "Vue CLI",
        package: "@vue/cli-service",
        site: one_page(&["dist"]),
        development: &["vue-cli-service"],
        ..EMPTY
    },
    Framework { title: "Parcel", package: "parcel", site: one_page(&["dist"]), development: &["parcel"], ..EMPTY },
    Framework { title: "Vite", package: "vite", site: one_page(&["dist"]), development: &["vite"], ..EMPTY },
];

impl Framework {
    pub fn of(project: &Project, package: &Package) -> Option<Self> {
        let configured: [fn(&Project, &Package) -> Self; 6] = [next, nuxt, astro, svelte_kit, react_router, angular];
        let found = configured.iter().map(|it| it(project, package)).find(|it| package.depends_on(it.package));
        found.or_else(|| TABLE.iter().find(|it| package.depends_on(it.package)).copied())
    }

    pub fn finding(&self) -> Finding {
        Finding::new(self.title, format!("dependency {}", self.package))
    }

    /// Whether a program serves the sources to developers. `program`: without what only starts it, such as `npx`.
    pub fn is_development(&self, program: &str) -> bool {
        self.development
            .iter()
            .any(|it| program == *it || program.strip_prefix(it).is_some_and(|it| it.starts_with(' ')))
    }
}

/// The text of a configuration in JavaScript, without its comments.
fn config(project: &Project, stem: &str) -> String {
    let names = ["js", "mjs", "cjs", "ts", "mts"].map(|extension| format!("{stem}.{extension}"));
    names.iter().find_map(|name| project.text(name)).map(without_comments).unwrap_or_default()
}

/// Replaces each comment by a space. Marks of comments in quotes begin none.
fn without_comments(script: &str) -> String {
    let mut kept = String::new();
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        let ends = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest[2..].find("*/").map_or(rest.len(), |it| it + 4),
            '"' | '\'' | '`' => end_of_text(rest, first),
            other => other.len_utf8(),
        };
        let is_comment = rest.starts_with("//") || rest.starts_with("/*");
        kept.push_str(if is_comment { " " } else { &rest[..ends] });
        rest = &rest[ends..];
    }
    kept
}

/// Where a text in quotes ends. One in simple quotes ends with its line, because a regular expression may contain a quote.
fn end_of_text(script: &str, quote: char) -> usize {
    let mut is_escaped = false;
    let closes = |(_, c): &(usize, char)| {
        let ends = !is_escaped && (*c == quote || (*c == '\n' && quote != '`'));
        is_escaped = !is_escaped && *c == '\\';
        ends
    };
    script.char_indices().skip(1).find(closes).map_or(script.len(), |(at, c)| at + c.len_utf8())
}

/// Whether a configuration contains `key: "value"`, in any quotes.
fn sets(config: &str, key: &str, value: &str) -> bool {
    const QUOTES: [char; 3] = ['"', '\'', '`'];
    config.split(key).skip(1).any(|rest| {
        let rest = rest.trim_start_matches(QUOTES).trim_start().strip_prefix(':');
        rest.is_some_and(|it| it.trim_start().trim_start_matches(QUOTES).starts_with(value))
    })
}

fn next(project: &Project, _: &Package) -> Framework {
    let config = config(project, "next.config");
    let base = Framework {
        title: "Next.js",
        package: "next",
        server: Some("next start"),
        site: pages(&["out"]),
        development: &["next dev"],
        caches: &["/workspace/.next/cache"],
        ..EMPTY
    };
    if sets(&config, "output", "export") {
        Framework { title: "Next.js with static export", server: None, development: &["next"], ..base }
    } else if sets(&config, "output", "standalone") {
        let server = Some("HOSTNAME=0.0.0.0 node server.js");
        // `next start` does not run this output.
        let development = &["next"];
        Framework { title: "Next.js with standalone output", server, bundle: NEXT_STANDALONE, development, ..base }
    } else {
        base
    }
}

fn nuxt(_: &Project, package: &Package) -> Framework {
    let is_old = package.version_of("nuxt").is_some_and(|it| it.trim_start_matches(['^', '~', 'v']).starts_with('2'));
    Framework {
        title: "Nuxt",
        package: "nuxt",
        server: Some(if is_old { "nuxt start" } else { "node .output/server/index.mjs" }),
        bundle: if is_old { &[] } else { &[(".output", "./.output")] },
        site: pages(&[".output/public"]),
        site_script: Some("generate"),
        development: &["nuxt dev", "nuxi dev", "nuxt preview", "nuxi preview"],
        variables: &["HOST=0.0.0.0"],
        ..EMPTY
    }
}

fn astro(_: &Project, package: &Package) -> Framework {
    Framework {
        title: "Astro",
        package: "astro",
        server: package.depends_on("@astrojs/node").then_some("node ./dist/server/entry.mjs"),
        site: pages(&["dist"]),
        development: &["astro"],
        variables: &["HOST=0.0.0.0"],
        ..EMPTY
    }
}

fn svelte_kit(_: &Project, package: &Package) -> Framework {
    Framework {
        title: "SvelteKit",
        package: "@sveltejs/kit",
        server: package.depends_on("@sveltejs/adapter-node").then_some("node build"),
        // Other adapters build for other platforms.
        site: if package.depends_on("@sveltejs/adapter-static") { one_page(&["build"]) } else { None },
        development: &["vite", "svelte-kit"],
        help: "Use @sveltejs/adapter-node or @sveltejs/adapter-static",
        ..EMPTY
    }
}

fn angular(project: &Project, package: &Package) -> Framework {
    // With this mode, the build makes pages and no server.
    let is_site = sets(project.text("angular.json").unwrap_or_default(), "outputMode", "static");
    // The build names the directory after the project.
    let server = if package.depends_on("@angular/ssr") && !is_site {
        Some("node dist/*/server/server.mjs")
    } else if package.depends_on("@nguniversal/express-engine") {
        Some("node dist/*/server/main.js")
    } else {
        None
    };
    Framework {
        title: if server.is_some() { "Angular with a server" } else { "Angular" },
        package: "@angular/core",
        server,
        site: one_page(&["dist/*/browser", "dist/*"]),
        development: &["ng"],
        caches: &["/workspace/.angular/cache"],
        ..EMPTY
    }
}

/// React Router, and Remix, which it was called before.
fn react_router(project: &Project, package: &Package) -> Framework {
    let is_site = sets(&config(project, "react-router.config"), "ssr", "false");
    let base = Framework { site: one_page(&["build/client"]), ..EMPTY };
    if package.depends_on("@remix-run/dev") {
        let uses_vite = package.depends_on("vite");
        let server = if uses_vite { "remix-serve ./build/server/index.js" } else { "remix-serve ./build/index.js" };
        let server = Some(server);
        Framework {
            title: "Remix",
            package: "@remix-run/dev",
            server,
            development: &["remix dev", "remix vite:dev"],
            ..base
        }
    } else {
        let server = (!is_site).then_some("react-router-serve ./build/server/index.js");
        let development = if is_site { &["react-router", "vite"][..] } else { &["react-router dev"] };
        Framework { title: "React Router", package: "@react-router/dev", server, development, ..base }
    }
}
