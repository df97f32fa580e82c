//! Projects in Node.js. Dependencies in lock files have none themselves, so that the files are short, and no address, so that
//! any registry may answer.

use crate::{Registry, SAMPLE, Sample};
use detect::Kind;

const NPM: Registry =
    Registry { name: "the npm registry", base: "boatyard-local/base-node:18", command: "npm view ms version" };
/// With a newer Node.js than Debian's.
const NODE_22: Registry = Registry {
    name: "the npm registry (or there is no base-node-22)",
    base: "boatyard-local/base-node-22:22",
    command: "npm view ms version",
};
const BASE_22: &[&str] = &["node:22=boatyard-local/base-node-22:22"];

const SERVER: &str = r#"
const server = require("http").createServer((request, response) => response.end("hello 1"));
server.listen(process.env.PORT);
process.on("SIGTERM", () => process.exit(0));
"#;

/// Uses a dependency.
const WITH_MS: &str = r#"
const server = require("http").createServer((request, response) => response.end("hello 1, " + require("ms")(60000)));
server.listen(process.env.PORT);
process.on("SIGTERM", () => process.exit(0));
"#;

const MS: &str = r#"{
  "name": "app", "version": "1.0.0", "engines": {"node": "18.x"},
  "scripts": {"start": "node server.js"}, "dependencies": {"ms": "2.1.3"}
}"#;

pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "node server.js",
        files: &[("package.json", r#"{"engines": {"node": "18"}}"#), ("server.js", SERVER)],
        changes: "server.js",
        ..SAMPLE
    },
    Sample {
        name: "npm, build script",
        files: &[
            (
                "package.json",
                r#"{"name": "app", "engines": {"node": ">=16 <20"}, "scripts": {
                    "prepare": "node prepare.js", "build": "mkdir -p dist && cp server.js dist/index.js", "start": "node dist"
                }}"#,
            ),
            (
                "package-lock.json",
                r#"{"name": "app", "lockfileVersion": 3, "packages": {"": {"name": "app", "engines": {"node": ">=16 <20"}}}}"#,
            ),
            ("prepare.js", ""),
            ("server.js", SERVER),
        ],
        changes: "server.js",
        ..SAMPLE
    },
    Sample {
        name: "npm, workspaces",
        files: &[
            ("package.json", r#"{"workspaces": ["packages/*"], "engines": {"node": "18"}, "main": "packages/web/server.js"}"#),
            ("packages/web/package.json", r#"{"name": "web", "version": "1.0.0", "dependencies": {"greeting": "1.0.0"}}"#),
            (
                "packages/web/server.js",
                "require('http').createServer((_, it) => it.end(require('greeting'))).listen(process.env.PORT);
                 process.on('SIGTERM', () => process.exit(0));",
            ),
            ("packages/greeting/package.json", r#"{"name": "greeting", "version": "1.0.0"}"#),
            ("packages/greeting/index.js", "module.exports = 'hello 1';"),
        ],
        changes: "packages/greeting/index.js",
        ..SAMPLE
    },
    Sample {
        name: "npm ci",
        files: &[
            ("package.json", MS),
            (
                "package-lock.json",
                r#"{"name": "app", "version": "1.0.0", "lockfileVersion": 3, "packages": {
                    "": {"name": "app", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}, "engines": {"node": "18.x"}},
                    "node_modules/ms": {
                        "version": "2.1.3",
                        "integrity": "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA=="
                    }
                }}"#,
            ),
            ("server.js", WITH_MS),
        ],
        changes: "server.js",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "pnpm",
        files: &[
            ("package.json", MS),
            (
                "pnpm-lock.yaml",
                "lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      ms:
        specifier: 2.1.3
        version: 2.1.3

packages:

  ms@2.1.3:
    resolution: {integrity: sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==}

snapshots:

  ms@2.1.3: {}
",
            ),
            ("server.js", WITH_MS),
        ],
        changes: "server.js",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Yarn 1",
        files: &[
            ("package.json", MS),
            (
                "yarn.lock",
                "# yarn lockfile v1


ms@2.1.3:
  version \"2.1.3\"
  integrity sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA==
",
            ),
            ("server.js", WITH_MS),
        ],
        changes: "server.js",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Yarn 4",
        files: &[
            (
                "package.json",
                r#"{"name": "app", "packageManager": "yarn@4.5.0", "engines": {"node": "18"},
                    "scripts": {"start": "yarn node server.js"}, "dependencies": {"ms": "2.1.3"}}"#,
            ),
            (
                "yarn.lock",
                "# This file is generated by running \"yarn install\" inside your project.
# Manual changes might be lost - proceed with caution!

__metadata:
  version: 8
  cacheKey: 10c0

\"app@workspace:.\":
  version: 0.0.0-use.local
  resolution: \"app@workspace:.\"
  dependencies:
    ms: \"npm:2.1.3\"
  languageName: unknown
  linkType: soft

\"ms@npm:2.1.3\":
  version: 2.1.3
  resolution: \"ms@npm:2.1.3\"
  checksum: 10c0/d924b57e7312b3b63ad21fc5b3dc0af5e78d61a1fc7cfb5457edaf26326bf62be5307cc87ffb6862ef1c2b33b0233cdb5d4f01c4c958cc0d660948b65a287a48
  languageName: node
  linkType: hard
",
            ),
            ("server.js", WITH_MS),
        ],
        changes: "server.js",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Bun",
        files: &[
            (
                "package.json",
                r#"{"name": "app", "engines": {"node": "18"}, "scripts": {"start": "bun run server.ts"}, "dependencies": {"ms": "2.1.3"}}"#,
            ),
            (
                "bun.lock",
                r#"{
  "lockfileVersion": 1,
  "workspaces": {
    "": {
      "name": "app",
      "dependencies": {
        "ms": "2.1.3",
      },
    },
  },
  "packages": {
    "ms": ["ms@2.1.3", "", {}, "sha512-6FlzubTLZG3J2a/NVCAleEhjzq5oxgHyaCU9yYXvcLsvoVaHJq/s5xXI6/XXP6tz7R9xAOtHnSO/tXtF3WRTlA=="],
  }
}
"#,
            ),
            (
                "server.ts",
                "import ms from 'ms'; const port: number = Number(process.env.PORT);
                 Bun.serve({ port, fetch: () => new Response('hello 1, ' + ms(60000)) });
                 process.on('SIGTERM', () => process.exit(0));",
            ),
        ],
        changes: "server.ts",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Express",
        files: &[
            (
                "package.json",
                r#"{"engines": {"node": "18"}, "main": "app.js", "dependencies": {"express": "^4.18.0"}, "devDependencies": {"ms": "2.1.3"}}"#,
            ),
            (
                "app.js",
                "require('express')().get('/', (_, it) => it.send('hello 1')).listen(process.env.PORT);
                 process.on('SIGTERM', () => process.exit(0));",
            ),
        ],
        changes: "app.js",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Vite, as a service",
        files: &[
            (
                "package.json",
                r#"{"engines": {"node": "18"}, "scripts": {"build": "vite build"}, "devDependencies": {"vite": "^5.0.0"}}"#,
            ),
            ("index.html", "<p>hello 1</p><script type=module src=/main.js></script>"),
            ("main.js", "console.log(1)"),
        ],
        changes: "index.html",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Next.js, standalone",
        files: &[
            (
                "package.json",
                r#"{"engines": {"node": "18"}, "scripts": {"build": "next build", "start": "next start"},
                    "dependencies": {"next": "14.2.x", "react": "18", "react-dom": "18"}}"#,
            ),
            ("next.config.mjs", "export default { output: 'standalone' };"),
            ("pages/index.js", "export default () => <p>hello 1</p>;"),
            ("public/robots.txt", ""),
        ],
        changes: "pages/index.js",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Next.js",
        files: &[
            (
                "package.json",
                r#"{"engines": {"node": "18"}, "scripts": {"build": "next build", "start": "next start"},
                    "dependencies": {"next": "14.2.x", "react": "18", "react-dom": "18"}}"#,
            ),
            ("pages/index.js", "export default () => <p>hello 1</p>;"),
        ],
        changes: "pages/index.js",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Astro, static site",
        files: &[
            (
                "package.json",
                r#"{"engines": {"node": "18"}, "scripts": {"build": "astro build"}, "dependencies": {"astro": "^4.0.0"}}"#,
            ),
            ("src/pages/index.astro", "<p>hello 1</p>"),
        ],
        changes: "src/pages/index.astro",
        needs: Some(NPM),
        kind: Kind::StaticSite,
        ..SAMPLE
    },
    Sample {
        name: "Nuxt",
        files: &[
            ("package.json", r#"{"engines": {"node": "22"}, "scripts": {"build": "nuxt build", "postinstall": "nuxt prepare"},
                    "dependencies": {"nuxt": "4.1.2", "vue": "3.5.22"}}"#),
            ("app.vue", "<template><p>hello 1</p></template>"),
        ],
        changes: "app.vue",
        needs: Some(NODE_22),
        bases: BASE_22,
        ..SAMPLE
    },
    Sample {
        name: "Remix",
        files: &[
            ("package.json", r#"{"type": "module", "sideEffects": false, "engines": {"node": "18"}, "scripts": {"build": "remix vite:build"},
                    "dependencies": {"@remix-run/node": "2.9.2", "@remix-run/react": "2.9.2", "@remix-run/serve": "2.9.2", "isbot": "4.4.0", "react": "18.3.1", "react-dom": "18.3.1"},
                    "devDependencies": {"@remix-run/dev": "2.9.2", "vite": "5.4.11"}}"#),
            ("vite.config.mjs", r#"import { vitePlugin } from "@remix-run/dev";
export default { plugins: [vitePlugin()] };
"#),
            ("app/root.jsx", r#"import { Outlet, Scripts } from "@remix-run/react";
export default () => <html><body><Outlet /><Scripts /></body></html>;
"#),
            ("app/routes/_index.jsx", "export default () => <p>hello 1</p>;\n"),
        ],
        changes: "app/routes/_index.jsx",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "NestJS",
        files: &[
            ("package.json", r#"{"engines": {"node": "18"}, "scripts": {"build": "nest build", "start": "nest start", "start:prod": "node dist/main"},
                    "dependencies": {"@nestjs/common": "10.4.9", "@nestjs/core": "10.4.9", "@nestjs/platform-express": "10.4.9", "reflect-metadata": "0.2.2", "rxjs": "7.8.1"},
                    "devDependencies": {"@nestjs/cli": "10.4.9", "@types/node": "18.19.67", "typescript": "5.6.3"}}"#),
            ("nest-cli.json", r#"{"sourceRoot": "src"}"#),
            ("tsconfig.json", r#"{"compilerOptions": {"module": "commonjs", "target": "ES2021", "outDir": "dist", "experimentalDecorators": true, "emitDecoratorMetadata": true, "skipLibCheck": true}}"#),
            ("src/main.ts", r#"import { Controller, Get, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";

@Controller()
class Page {
  @Get()
  page() {
    return "hello 1";
  }
}

@Module({ controllers: [Page] })
class App {}

NestFactory.create(App).then((app) => app.listen(process.env.PORT));
"#),
        ],
        changes: "src/main.ts",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Angular with a server",
        files: &[
            ("package.json", r#"{"engines": {"node": "18"}, "scripts": {"start": "ng serve", "build": "ng build"},
                    "dependencies": {"@angular/common": "17.3.12", "@angular/compiler": "17.3.12", "@angular/core": "17.3.12", "@angular/platform-browser": "17.3.12",
                        "@angular/platform-server": "17.3.12", "@angular/ssr": "17.3.12", "express": "4.21.2", "rxjs": "7.8.1", "tslib": "2.8.1", "zone.js": "0.14.10"},
                    "devDependencies": {"@angular-devkit/build-angular": "17.3.12", "@angular/cli": "17.3.12", "@angular/compiler-cli": "17.3.12",
                        "@types/express": "4.17.21", "@types/node": "18.19.67", "typescript": "5.4.5"}}"#),
            ("angular.json", r#"{"version": 1, "cli": {"analytics": false}, "projects": {"app": {"projectType": "application", "root": "", "sourceRoot": "src", "architect": {"build": {
                    "builder": "@angular-devkit/build-angular:application",
                    "options": {"outputPath": "dist/app", "index": "src/index.html", "browser": "src/main.ts", "server": "src/main.server.ts", "polyfills": ["zone.js"],
                        "tsConfig": "tsconfig.json", "prerender": false, "ssr": {"entry": "server.ts"}}}}}}}"#),
            ("tsconfig.json", r#"{"compilerOptions": {"module": "ES2022", "target": "ES2022", "moduleResolution": "node", "lib": ["ES2022", "dom"], "types": ["node"], "experimentalDecorators": true, "esModuleInterop": true, "skipLibCheck": true},
                "files": ["src/main.ts", "src/main.server.ts", "server.ts"]}"#),
            ("src/index.html", r#"<!doctype html><html><head><base href="/"></head><body><app-root></app-root></body></html>"#),
            ("src/app.ts", r#"import { Component } from "@angular/core";

@Component({ selector: "app-root", standalone: true, template: "<p>hello {{ 0 + 1 }}</p>" })
export class App {}
"#),
            ("src/main.ts", r#"import { bootstrapApplication } from "@angular/platform-browser";
import { App } from "./app";

bootstrapApplication(App);
"#),
            ("src/main.server.ts", r#"import { bootstrapApplication } from "@angular/platform-browser";
import { provideServerRendering } from "@angular/platform-server";
import { App } from "./app";

export default () => bootstrapApplication(App, { providers: [provideServerRendering()] });
"#),
            ("server.ts", r#"import { APP_BASE_HREF } from "@angular/common";
import { CommonEngine } from "@angular/ssr";
import express from "express";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import bootstrap from "./src/main.server";

const engine = new CommonEngine();
const documentFilePath = join(dirname(fileURLToPath(import.meta.url)), "index.server.html");
express()
  .get("*", (request, response, next) => {
    engine
      .render({ bootstrap, documentFilePath, url: "http://localhost" + request.url, providers: [{ provide: APP_BASE_HREF, useValue: "" }] })
      .then((html) => response.send(html + "<!-- hello 1 -->"), next);
  })
  .listen(process.env["PORT"] || 4000);
"#),
        ],
        changes: "server.ts",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "pnpm, scripts of dependencies",
        files: &[
            ("package.json", r#"{"engines": {"node": "18"}, "dependencies": {"greeting": "file:./greeting"}}"#),
            ("greeting/package.json", r#"{"name": "greeting", "version": "1.0.0", "main": "made.js", "scripts": {"postinstall": "cp text.js made.js"}}"#),
            ("greeting/text.js", "module.exports = 'hello 1';"),
            ("pnpm-lock.yaml", r"lockfileVersion: '9.0'

settings:
  autoInstallPeers: true
  excludeLinksFromLockfile: false

importers:

  .:
    dependencies:
      greeting:
        specifier: file:./greeting
        version: file:greeting

packages:

  greeting@file:greeting:
    resolution: {directory: greeting, type: directory}

snapshots:

  greeting@file:greeting: {}
"),
            ("server.js", r"require('http').createServer((_, it) => it.end(require('greeting'))).listen(process.env.PORT);
process.on('SIGTERM', () => process.exit(0));
"),
        ],
        changes: "greeting/text.js",
        needs: Some(NPM),
        ..SAMPLE
    },
    Sample {
        name: "Vite, static site",
        files: &[
            (
                "package.json",
                r#"{"engines": {"node": "18"}, "scripts": {"build": "vite build"}, "devDependencies": {"vite": "^5.0.0"}}"#,
            ),
            ("index.html", "<p>hello 1</p><script type=module src=/main.js></script>"),
            ("main.js", "console.log(1)"),
        ],
        changes: "index.html",
        needs: Some(NPM),
        kind: Kind::StaticSite,
        ..SAMPLE
    },
    Sample {
        name: "Next.js 16, pnpm",
        files: &[
            (
                "package.json",
                r#"{"packageManager": "pnpm@10.18.0", "engines": {"node": "22"}, "scripts": {"dev": "next dev", "build": "next build", "start": "npm run dev"},
                    "dependencies": {"next": "16.0.0", "react": "19.2.0", "react-dom": "19.2.0"}}"#,
            ),
            ("app/layout.jsx", "export default ({ children }) => <html><body>{children}</body></html>;"),
            ("app/page.jsx", "export default () => <p>hello 1</p>;"),
        ],
        changes: "app/page.jsx",
        needs: Some(NODE_22),
        bases: BASE_22,
        ..SAMPLE
    },
    Sample {
        name: "Astro with a server",
        files: &[
            (
                "package.json",
                r#"{"engines": {"node": "22"}, "scripts": {"start": "astro dev", "build": "astro build"},
                    "dependencies": {"astro": "5.14.1", "@astrojs/node": "9.4.4"}}"#,
            ),
            (
                "astro.config.mjs",
                "import node from '@astrojs/node';
                 export default { output: 'server', adapter: node({ mode: 'standalone' }) };",
            ),
            ("src/pages/index.astro", "<p>hello 1</p>"),
        ],
        changes: "src/pages/index.astro",
        needs: Some(NODE_22),
        bases: BASE_22,
        ..SAMPLE
    },
    Sample {
        name: "SvelteKit",
        files: &[
            (
                "package.json",
                r#"{"type": "module", "engines": {"node": "22"}, "scripts": {"build": "vite build", "prepare": "svelte-kit sync"},
                    "devDependencies": {"@sveltejs/adapter-node": "5.3.2", "@sveltejs/kit": "2.43.5", "@sveltejs/vite-plugin-svelte": "6.2.1", "svelte": "5.39.6", "vite": "7.1.7"}}"#,
            ),
            ("vite.config.js", "import { sveltekit } from '@sveltejs/kit/vite'; export default { plugins: [sveltekit()] };"),
            ("svelte.config.js", "import adapter from '@sveltejs/adapter-node'; export default { kit: { adapter: adapter() } };"),
            ("src/app.html", "<html><head>%sveltekit.head%</head><body><div>%sveltekit.body%</div></body></html>"),
            ("src/routes/+page.svelte", "<p>hello 1</p>"),
        ],
        changes: "src/routes/+page.svelte",
        needs: Some(NODE_22),
        bases: BASE_22,
        ..SAMPLE
    },
];
