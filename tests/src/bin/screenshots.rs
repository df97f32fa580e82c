//! `make screenshots`: photographs every page of the control panel, light and dark, on a phone and on a wide screen, to
//! `target/screenshots`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use boatyard_tests::browser::{Browser, Theme};
use boatyard_tests::installation::{Installation, sibling_program};

/// The pages, each with the name of its pictures.
const PAGES: &[(&str, &str)] = &[("apps", "/")];

/// Width and height in CSS pixels, and whether it is a phone.
const SCREENS: [(&str, u32, u32, bool); 2] = [("phone", 390, 844, true), ("wide", 1280, 800, false)];
const THEMES: [(&str, Theme); 2] = [("light", Theme::Light), ("dark", Theme::Dark)];

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let Some(browser) = Browser::start().await? else { return Ok(()) };
    let at = Installation::start(sibling_program()).await?;
    let directory = directory()?;
    for (name, path) in PAGES {
        for (screen, width, height, phone) in SCREENS {
            for (theme_name, theme) in THEMES {
                browser.resize(width, height, phone).await?;
                browser.set_theme(theme).await?;
                browser.go(&format!("http://{}{path}", at.api())).await?;
                let file = directory.join(format!("{name}-{screen}-{theme_name}.png"));
                std::fs::write(&file, browser.screenshot().await?)?;
                println!("{}", file.display());
            }
        }
    }
    Ok(())
}

/// `screenshots` in the directory of the build, emptied of older pictures.
fn directory() -> Result<PathBuf> {
    let program = sibling_program();
    let directory = program.ancestors().nth(2).context("the program lies in target/PROFILE")?.join("screenshots");
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}
