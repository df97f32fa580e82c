//! The web control panel: pages that the server renders, live by server-sent events.
//!
//! Pages work without JavaScript. The Content-Security-Policy allows no inline script, no inline style and no address of
//! another origin, so everything that a page needs is in `assets`.
//!
//! In reading order:
//! - [`ui`]: the layout and the components that every page uses;
//! - [`assets`]: the style sheet, the script and the icon, under addresses that change with their content.
#![warn(missing_docs)]

pub mod assets;
pub mod ui;
