//! The web control panel: pages that the server renders, live by server-sent events.
//!
//! A handler reads the request, calls the controller by the same operations as the API, and renders the answer. Rules about
//! apps live elsewhere, and so does the wording that the command line shares (`present`).
//!
//! Pages work without JavaScript. The Content-Security-Policy allows no inline script, no inline style and no address of
//! another origin, so everything that a page needs is in `assets`.
//!
//! In reading order:
//! - `routes`: every path with its handler, in one table;
//! - `session`: signing in, and who makes a request; `security_headers`: what a page may do; `request`: what a handler gets;
//!   `error_page`: error answers;
//! - `live`: server-sent events for pages that show what happens now;
//! - `apps`: the list of apps; `app`: the pages of one; `new_app`: creating one; `actions`: the dialogues that change an app;
//! - `deployment`: the live page of a deployment;
//! - `settings`: an app's spec and variables; `tokens`: tokens, sessions and the audit trail; `host`: engine, disk, images;
//! - `logs` and `console`: the logs of an app, and shells in its instances; `limit`: how many of them may be open;
//! - `ui`: the layout and the components that every page uses;
//! - `assets`: the style sheet, the script and the icon, under addresses that change with their content.
#![warn(missing_docs)]

mod actions;
mod app;
mod apps;
mod assets;
mod console;
mod deployment;
mod error_page;
mod host;
mod limit;
mod live;
mod logs;
mod new_app;
mod request;
mod routes;
mod security_headers;
mod session;
mod settings;
#[cfg(test)]
mod tests;
mod tokens;
mod ui;

pub use routes::router;
