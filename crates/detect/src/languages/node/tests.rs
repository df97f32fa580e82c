#![allow(clippy::unwrap_used)]

use super::*;
use crate::{Bases, Detected, detect, testing};

/// Files of a project: `package.json`, and others by path and text.
fn detected(package: &str, files: &[(&str, &str)], request: &Request<'_>) -> Result<Detected, Undetected> {
    detect(&Project::of(&[&[("package.json", package)], files].concat()), request)
}

fn service(package: &str, files: &[(&str, &str)]) -> Detected {
    testing::service(&[&[("package.json", package)], files].concat())
}

fn site(package: &str) -> Detected {
    testing::site(&[("package.json", package)])
}

/// The instructions whose text contains one of these, in order and without their mounts.
fn steps<'a>(detected: &'a Detected, wanted: &[&str]) -> Vec<&'a str> {
    let lines = detected.dockerfile.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter(|line| wanted.iter().any(|it| line.contains(it)))
        .map(|line| line.rsplit("sharing=locked ").next().unwrap_or(line))
        .collect()
}

#[test]
fn the_package_manager_is_chosen_by_its_lock_file_or_by_name() {
    let cases = [
        ("{}", "", "npm (no lock file)", "npm install --include=dev --no-audit --no-fund"),
        ("{}", "package-lock.json", "npm (package-lock.json)", "npm ci --include=dev --no-audit --no-fund"),
        (
            "{}",
            "pnpm-lock.yaml",
            "pnpm (pnpm-lock.yaml)",
            "CI=true pnpm install --frozen-lockfile --prod=false --store-dir /root/.pnpm-store",
        ),
        (
            "{}",
            "yarn.lock",
            "Yarn 1 (yarn.lock)",
            "yarn install --frozen-lockfile --production=false --non-interactive",
        ),
        ("{}", "bun.lock", "Bun (bun.lock)", "NODE_ENV= bun install --frozen-lockfile"),
        ("{}", "bun.lockb", "Bun (bun.lockb)", "NODE_ENV= bun install --frozen-lockfile"),
        (
            r#"{"packageManager": "yarn@4.5.0+sha512.ab"}"#,
            "yarn.lock",
            "Yarn (packageManager in package.json)",
            "yarn install --immutable",
        ),
        (
            r#"{"packageManager": "pnpm@9.1.0"}"#,
            "",
            "pnpm (packageManager in package.json)",
            "CI=true pnpm install --no-frozen-lockfile --prod=false --store-dir /root/.pnpm-store",
        ),
        // The version would become a part of a command.
        (
            r#"{"packageManager": "pnpm@9; rm"}"#,
            "",
            "npm (no lock file)",
            "npm install --include=dev --no-audit --no-fund",
        ),
    ];
    for (package, lock, finding, install) in cases {
        let files = [(lock, ""), ("server.js", "")];
        let detected = service(package, &files[usize::from(lock.is_empty())..]);
        assert!(detected.findings.iter().any(|it| it.to_string() == format!("package manager {finding}")), "{finding}");
        let steps = steps(&detected, &[" install ", " ci "]);
        assert!(steps.iter().any(|it| it.ends_with(install)), "{install}: {steps:?}");
    }
}

#[test]
fn programs_of_package_managers_are_installed_in_their_version() {
    let program = |package: &str, files: &[(&str, &str)]| {
        let detected = service(package, &[files, &[("server.js", "")]].concat());
        steps(&detected, &["--global"]).first().map(|it| (*it).to_owned()).unwrap_or_default()
    };
    assert_eq!(program(r#"{"packageManager": "pnpm@9.1.0+sha1.ab"}"#, &[]), "RUN npm install --global pnpm@9.1.0");
    for (format, version) in [("5.4", "7"), ("'6.0'", "8"), ("'9.0'", "10")] {
        let lock = format!("lockfileVersion: {format}\n\nsettings:\n");
        assert_eq!(program("{}", &[("pnpm-lock.yaml", &lock)]), format!("RUN npm install --global pnpm@{version}"));
    }
    let old = r#"{"engines": {"node": "16.x"}}"#;
    assert_eq!(program(old, &[("pnpm-lock.yaml", "lockfileVersion: '9.0'")]), "RUN npm install --global pnpm@8");
    let yarn = [("yarn.lock", ""), (".yarnrc.yml", ""), (".yarn/releases/yarn-3.6.1.cjs", "")];
    assert!(program("{}", &yarn).ends_with("npm install --global --force yarn@1"));
    assert!(program("{}", &yarn[..2]).ends_with("npm install --global --force @yarnpkg/cli-dist@4"));
}

#[test]
fn the_version_comes_from_engines_or_from_a_file() {
    for (package, files, expected) in [
        ("{}", &[][..], "Node.js 24 (the default)"),
        (r#"{"engines": {"node": "20.x"}}"#, &[(".nvmrc", "18")], "Node.js 20 (engines.node in package.json: 20.x)"),
        ("{}", &[(".nvmrc", "v18.17.0\n")], "Node.js 18 (.nvmrc: v18.17.0)"),
        ("{}", &[(".nvmrc", "lts/jod\n")], "Node.js 24 (the default)"),
        ("{}", &[(".node-version", "22")], "Node.js 22 (.node-version: 22)"),
    ] {
        let files = [files, &[("server.js", "")]].concat();
        assert_eq!(service(package, &files).findings[1].to_string(), expected);
    }
    let bases = Bases::default();
    let error =
        detected(r#"{"engines": {"node": "^8"}}"#, &[], &Request::new("web", Kind::Service, &bases)).unwrap_err();
    assert!(matches!(error, Undetected::Version { .. }), "{error}");
}

#[test]
fn the_start_command_is_found_in_the_order_of_the_platform() {
    for (package, files, expected) in [
        (r#"{"scripts": {"start": "node a.js"}}"#, &[("Procfile", "web: node b.js")][..], "node b.js"),
        (r#"{"scripts": {"start": "node a.js"}, "main": "b.js"}"#, &[("b.js", ""), ("server.js", "")], "node a.js"),
        (r#"{"scripts": {"start": "node a.js", "prestart": "x"}}"#, &[], "npm run start"),
        (r#"{"main": "./b.js"}"#, &[("b.js", ""), ("index.js", "")], "node b.js"),
        (r#"{"main": "b.js"}"#, &[("index.js", "")], "node index.js"),
        (r#"{"main": "dist/b.js", "scripts": {"build": "tsc"}}"#, &[], "node dist/b.js"),
        ("{}", &[("src/app.js", ""), ("server.js", "")], "node server.js"),
    ] {
        assert_eq!(service(package, files).start.as_deref(), Some(expected), "{package}");
    }
    let bases = Bases::default();
    let mut request = Request::new("jobs", Kind::Worker, &bases);
    let error = detected("{}", &[], &request).unwrap_err();
    assert!(error.to_string().contains("Add a script \"start\" to package.json"), "{error}");
    request.run_command = Some("npm run queue");
    let detected = detected("{}", &[], &request).unwrap();
    assert_eq!(detected.start, None);
    assert!(
        !detected.dockerfile.contains("CMD") && !detected.dockerfile.contains("ENV PORT"),
        "{}",
        detected.dockerfile
    );
}

#[test]
fn a_program_is_built_in_one_stage_and_runs_in_another() {
    let package = r#"{"scripts": {"build": "tsc", "start": "node dist/a.js"}, "devDependencies": {"typescript": "5"}}"#;
    let detected = service(package, &[("package-lock.json", ""), (".npmrc", ""), ("src/a.ts", "")]);
    assert_eq!(
        steps(&detected, &["FROM", "COPY", "RUN", "USER", "CMD"]),
        [
            "FROM node:24 AS build",
            r#"COPY ["package.json",".npmrc","package-lock.json","./"]"#,
            "npm ci --include=dev --no-audit --no-fund",
            "COPY . .",
            "RUN npm run build",
            "npm prune --omit=dev --ignore-scripts --no-audit --no-fund",
            "FROM node:24-slim",
            "RUN useradd --create-home --uid 2000 app && install --directory --owner=app --group=app /workspace",
            "COPY --from=build --chown=app:app /workspace ./",
            "USER app",
            r#"CMD ["/bin/sh","-c","exec node dist/a.js"]"#,
        ]
    );
}

#[test]
fn development_dependencies_that_the_start_command_uses_stay() {
    let package = r#"{"scripts": {"start": "npm run serve", "serve": "tsx a.ts"}, "devDependencies": {"tsx": "4"}}"#;
    let detected = service(package, &[]);
    let finding = "development dependencies stay in the image (the start command uses tsx)";
    assert!(detected.findings.iter().any(|it| it.to_string() == finding), "{:?}", detected.findings);
    assert!(!detected.dockerfile.contains("prune"));
}

#[test]
fn scripts_of_the_installation_wait_for_the_sources() {
    let detected = service(r#"{"scripts": {"postinstall": "nuxt prepare"}}"#, &[("server.js", "")]);
    assert_eq!(
        steps(&detected, &["COPY", "npm", "node -e"])[1..5],
        [
            "RUN node -e 'const it = require(\"./package.json\"); \\",
            "npm install --include=dev --no-audit --no-fund",
            "COPY . .",
            "npm run postinstall"
        ]
    );
    let local = service(r#"{"dependencies": {"a": "file:./a"}}"#, &[("server.js", ""), ("a/package.json", "{}")]);
    assert_eq!(steps(&local, &["COPY"])[0], "COPY . .");
    let workspaces = [("server.js", ""), ("packages/a/package.json", "{}")];
    let workspaces = service(r#"{"workspaces": ["packages/*"]}"#, &workspaces);
    assert_eq!(
        steps(&workspaces, &["COPY"])[..3],
        [r#"COPY ["package.json","./"]"#, r#"COPY ["packages/a/package.json","./packages/a/"]"#, "COPY . ."]
    );
}

#[test]
fn the_program_of_the_package_manager_is_in_the_image_if_a_command_uses_it() {
    let files = [("pnpm-lock.yaml", "")];
    let uses = r#"{"scripts": {"start": "pnpm run serve", "serve": "node a.js"}}"#;
    assert_eq!(steps(&service(uses, &files), &["--global"]).len(), 2);
    assert_eq!(steps(&service(r#"{"scripts": {"start": "node a.js"}}"#, &files), &["--global"]).len(), 1);
}

#[test]
fn frameworks_with_a_server_start_it() {
    let standalone = "export default { output: 'standalone' }";
    for (package, files, title, start) in [
        (r#"{"scripts": {"start": "next start"}, "dependencies": {"next": "16"}}"#, &[][..], "Next.js", "next start"),
        (r#"{"scripts": {"start": "next dev"}, "dependencies": {"next": "16"}}"#, &[], "Next.js", "next start"),
        (
            r#"{"scripts": {"start": "next start"}, "dependencies": {"next": "16"}}"#,
            &[("next.config.mjs", standalone)],
            "Next.js with standalone output",
            "HOSTNAME=0.0.0.0 node server.js",
        ),
        (r#"{"dependencies": {"nuxt": "^4.0.0"}}"#, &[], "Nuxt", "node .output/server/index.mjs"),
        (r#"{"scripts": {"start": "nuxt start"}, "dependencies": {"nuxt": "^2.15.0"}}"#, &[], "Nuxt", "nuxt start"),
        (r#"{"dependencies": {"astro": "5", "@astrojs/node": "9"}}"#, &[], "Astro", "node ./dist/server/entry.mjs"),
        (
            r#"{"devDependencies": {"@sveltejs/kit": "2", "@sveltejs/adapter-node": "5", "vite": "7"}}"#,
            &[],
            "SvelteKit",
            "node build",
        ),
        (
            r#"{"scripts": {"start": "react-router-serve ./build/server/index.js"}, "devDependencies": {"@react-router/dev": "7"}}"#,
            &[],
            "React Router",
            "react-router-serve ./build/server/index.js",
        ),
        (
            r#"{"devDependencies": {"@remix-run/dev": "2", "vite": "5"}}"#,
            &[],
            "Remix",
            "remix-serve ./build/server/index.js",
        ),
        (
            r#"{"scripts": {"start": "nest start", "start:prod": "node dist/src/main"}, "dependencies": {"@nestjs/core": "11"}}"#,
            &[],
            "NestJS",
            "node dist/src/main",
        ),
        (
            r#"{"scripts": {"start": "nest start"}, "dependencies": {"@nestjs/core": "11"}}"#,
            &[],
            "NestJS",
            "node dist/main",
        ),
        (r#"{"scripts": {"start": "node ."}, "devDependencies": {"vite": "7"}}"#, &[], "Vite", "node ."),
        (
            r#"{"scripts": {"start": "vite"}, "devDependencies": {"vite": "7"}}"#,
            &[("server.js", "")],
            "Vite",
            "node server.js",
        ),
    ] {
        let detected = service(package, files);
        assert_eq!(detected.start.as_deref(), Some(start), "{package}");
        assert_eq!(detected.findings[3].what, title, "{package}");
    }
}

#[test]
fn a_bundle_is_copied_without_node_modules() {
    let files = [("next.config.ts", "const c = {\n  output: \"standalone\" }"), ("public/a.png", "")];
    let package =
        r#"{"scripts": {"build": "next build"}, "dependencies": {"next": "16"}, "devDependencies": {"eslint": "9"}}"#;
    let copied = ["--from=build"];
    assert_eq!(
        steps(&service(package, &files), &copied),
        [
            "COPY --from=build --chown=app:app /workspace/.next/standalone ./",
            "COPY --from=build --chown=app:app /workspace/.next/static ./.next/static",
            "COPY --from=build --chown=app:app /workspace/public ./public",
        ]
    );
    assert_eq!(steps(&service(package, &files[..1]), &copied).len(), 2);
    // Another start command may need everything.
    let other = [files[0], ("Procfile", "web: node my-server.js")];
    assert_eq!(steps(&service(package, &other), &copied), ["COPY --from=build --chown=app:app /workspace ./"]);
}

#[test]
fn a_site_that_is_deployed_as_a_service_is_served_by_nginx() {
    for (package, directory) in [
        (r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}"#, "dist"),
        (r#"{"scripts": {"start": "react-scripts start"}, "dependencies": {"react-scripts": "5"}}"#, "build"),
        (r#"{"scripts": {"start": "ng serve"}, "dependencies": {"@angular/core": "20"}}"#, "dist/*/browser"),
        (r#"{"scripts": {"start": "vite preview --host"}, "devDependencies": {"vite": "7"}}"#, "dist"),
        (r#"{"scripts": {"start": "astro dev"}, "dependencies": {"astro": "5"}}"#, "dist"),
        (r#"{"devDependencies": {"@sveltejs/kit": "2", "@sveltejs/adapter-static": "3"}}"#, "build"),
    ] {
        let detected = service(package, &[]);
        assert!(detected.start.as_deref().is_some_and(|it| it.contains("exec nginx")), "{package}");
        assert!(detected.dockerfile.contains(&format!("for dir in {directory} ")), "{}", detected.dockerfile);
        assert!(detected.findings.iter().any(|it| it.what == "nginx serves the files of the site"));
    }
    let bases = Bases::default();
    let adapter = r#"{"devDependencies": {"@sveltejs/kit": "2", "@sveltejs/adapter-auto": "3"}}"#;
    let error = detected(adapter, &[], &Request::new("web", Kind::Service, &bases)).unwrap_err();
    assert!(error.to_string().contains("Use @sveltejs/adapter-node"), "{error}");
}

#[test]
fn a_page_at_the_top_is_served_if_nothing_else_starts() {
    let package = r#"{"devDependencies": {"prettier": "3"}}"#;
    let bases = Bases::default();
    let mut request = Request::new("web", Kind::Service, &bases);
    request.slug = Some("html");
    let detected = detected(package, &[("index.html", "")], &request).unwrap();
    assert_eq!(detected.language, Language::Node);
    assert!(detected.dockerfile.contains("for dir in _static dist public build .;"), "{}", detected.dockerfile);
}

#[test]
fn static_sites_are_built_with_the_script_of_the_framework() {
    let nuxt =
        site(r#"{"scripts": {"build": "nuxt build", "generate": "nuxt generate"}, "dependencies": {"nuxt": "4"}}"#);
    assert_eq!(steps(&nuxt, &["npm run"]), ["RUN npm run generate"]);
    let plain = site(r#"{"scripts": {"build": "make", "start": "node server.js"}}"#);
    assert!(plain.dockerfile.contains("for dir in _static dist public build;"), "{}", plain.dockerfile);
    assert_eq!(plain.start, None);
}

#[test]
fn a_long_chain_of_scripts_is_followed_to_its_end() {
    let mut scripts: Vec<_> = (0..15_000).map(|n| format!("\"s{n}\": \"npm run s{} && npm run s0\"", n + 1)).collect();
    scripts.extend(["\"s15000\": \"tsx server.js\"".into(), "\"start\": \"npm run s0\"".into()]);
    let package = format!("{{\"scripts\": {{{}}}, \"devDependencies\": {{\"tsx\": \"4\"}}}}", scripts.join(", "));
    let detected = service(&package, &[]);
    assert!(detected.findings.iter().any(|it| it.because == "the start command uses tsx"), "{:?}", detected.findings);
}

#[test]
fn a_development_server_is_known_behind_variables_and_other_scripts() {
    let next = "next start";
    for (start, more, expected) in [
        ("NODE_OPTIONS=--max-old-space-size=4096 next dev", "", next),
        ("NODE_OPTIONS='--inspect --trace-warnings' next dev -p 3000", "", next),
        ("cross-env NODE_ENV=development next dev", "", next),
        ("npx cross-env A=1 next dev | pino-pretty", "", next),
        ("npm run dev", r#", "dev": "next dev""#, next),
        ("yarn dev", r#", "dev": "npm run a", "a": "pnpm run dev && next dev""#, next),
        // Only the last program stays.
        ("next build && next dev", "", next),
        ("next dev; node server.js", "", "next dev; node server.js"),
        ("NODE_ENV=production next start", "", "NODE_ENV=production next start"),
        ("node dev", r#", "dev": "next dev""#, "node dev"),
        ("npm run start", "", "npm run start"),
    ] {
        let package = format!(r#"{{"scripts": {{"start": "{start}"{more}}}, "dependencies": {{"next": "16"}}}}"#);
        assert_eq!(service(&package, &[]).start.as_deref(), Some(expected), "{start}");
    }
}

#[test]
fn a_setting_in_a_comment_does_not_count() {
    let package = r#"{"dependencies": {"next": "16"}}"#;
    for (config, expected) in [
        ("export default {\n  // output: 'standalone',\n}", "next start"),
        ("/* output: 'standalone' */ export default {}", "next start"),
        ("// a 'comment'\nexport default { output: 'standalone' }", "HOSTNAME=0.0.0.0 node server.js"),
        ("const a = 'https://x.y/*'; export default { output: `standalone` }", "HOSTNAME=0.0.0.0 node server.js"),
        ("const a = /[\"]/;\nexport default { \"output\": \"standalone\" }", "HOSTNAME=0.0.0.0 node server.js"),
        (
            "const a = \"\\\"//\"; export default { output: 'standalone' } /* unclosed",
            "HOSTNAME=0.0.0.0 node server.js",
        ),
    ] {
        let detected = service(package, &[("next.config.mjs", config)]);
        assert_eq!(detected.start.as_deref(), Some(expected), "{config}");
    }
}

#[test]
fn angular_has_a_server_unless_it_makes_pages() {
    let package = |more: &str| {
        format!(r#"{{"scripts": {{"start": "ng serve"}}, "dependencies": {{"@angular/core": "20"{more}}}}}"#)
    };
    let (ssr, universal) = (r#", "@angular/ssr": "20""#, r#", "@nguniversal/express-engine": "16""#);
    let pages = ("angular.json", r#"{"projects": {"a": {"options": {"outputMode": "static"}}}}"#);
    for (more, files, expected) in [
        (ssr, &[][..], "node dist/*/server/server.mjs"),
        (universal, &[], "node dist/*/server/main.js"),
        (ssr, &[pages], "exec nginx"),
        ("", &[], "exec nginx"),
    ] {
        let start = service(&package(more), files).start.unwrap();
        assert!(start.contains(expected), "{start}");
    }
}

#[test]
fn dependencies_run_their_scripts_with_pnpm_10_unless_the_project_has_settings_for_it() {
    let lock = ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n");
    for (package, file, expected) in [
        ("{}", ("server.js", ""), true),
        ("{}", ("pnpm-workspace.yaml", "packages:\n  - web\n"), true),
        ("{}", ("pnpm-workspace.yaml", "onlyBuiltDependencies:\n  - esbuild\n"), false),
        (r#"{"pnpm": {"onlyBuiltDependencies": []}}"#, ("server.js", ""), false),
        (r#"{"packageManager": "pnpm@10.4.0"}"#, ("server.js", ""), false),
        ("{}", ("pnpm-lock.yaml", "lockfileVersion: '6.0'\n"), false),
    ] {
        let text = service(package, &[lock, ("server.js", ""), file]).dockerfile;
        assert_eq!(text.contains("npm_config_dangerously_allow_all_builds"), expected, "{package} {file:?}");
    }
}

#[test]
fn packages_of_debian_are_installed_for_the_build_and_for_the_image() {
    let detected = service("{}", &[("server.js", ""), ("Aptfile", "ffmpeg\n")]);
    assert!(
        detected.findings.iter().any(|it| it.to_string() == "packages ffmpeg (Aptfile)"),
        "{:?}",
        detected.findings
    );
    testing::assert_order(
        &detected.dockerfile,
        &["AS build", "recommends ffmpeg", "npm install", "-slim\n", "recommends ffmpeg"],
    );
}

#[test]
fn a_path_with_odd_characters_is_one_word() {
    let start = |main: &str| service(&format!(r#"{{"main": "{main}"}}"#), &[(main, "")]).start;
    assert_eq!(start("my server.js").as_deref(), Some("node 'my server.js'"));
    assert_eq!(start("it's;id.js").as_deref(), Some(r"node 'it'\''s;id.js'"));
}

#[test]
fn a_token_is_there_for_the_dependencies_and_a_commit_comes_after_them() {
    let bases = Bases::default();
    let mut request = Request::new("web", Kind::Service, &bases);
    request.build_args = vec!["COMMIT", "NPM_TOKEN"];
    let text = detected("{}", &[("server.js", "")], &request).unwrap().dockerfile;
    testing::assert_order(&text, &["ARG NPM_TOKEN\n", "npm install", "ARG COMMIT\nCOPY . .\n", "FROM"]);
    assert_eq!(text.matches("ARG COMMIT").count(), 1, "{text}");
}
