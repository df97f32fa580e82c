//! The host: the engine, the disk, images, and what no record explains. Only the admin token sees it.

mod unknown;

use std::net::SocketAddr;

use axum::routing::get;
use controller::view::{DiskSpace, HostEngine, HostImage, HostView};
use maud::{Markup, html};
use present::text::{binary_size, counted};
use web::Needs;

use crate::request::{PageRequest, PageResult};
use crate::routes::{Route, route};
use crate::tokens::{is_admin, limited};
use crate::ui::icon::Icon;
use crate::ui::page::Place;
use crate::ui::status::badge;
use crate::ui::table::{columns, facts, table};
use crate::ui::{Tone, button, card, notice, time};

pub(crate) fn routes() -> Vec<Route> {
    // Shows only the request's own token to others than the admin token.
    vec![route("/host", Needs::Nothing, get(show))]
}

async fn show(request: PageRequest) -> PageResult {
    if !is_admin(&request.access.identity) {
        return Ok(request.page("Host", Place::Host, limited("Host", &request.access.identity)));
    }
    let control = &request.access.control;
    let (host, unknown) = tokio::join!(control.host(), control.unknown());
    let content = html! {
        (card::heading("Host", html! {}, html! {}))
        @if let Err(why) = &host.engine { (notice::error("The engine does not answer", why)) }
        (unknown::notices(&unknown))
        div class="columns" {
            (card::card("versions", "Versions", html! {}, versions(&host)))
            div class="stack" {
                (card::card("disk", "Disk", html! {}, disk(host.disk.as_ref())))
                (card::card("elsewhere", "Sign in from elsewhere", html! {}, elsewhere(&request.access.base)))
            }
        }
        (unknown::card(&unknown))
        (card::card("images", "Images", html! {}, match &host.images {
            Ok(images) => self::images(images),
            Err(why) => notice::error("The images cannot be listed", why),
        }))
    };
    Ok(request.page("Host", Place::Host, content))
}

fn versions(host: &HostView) -> Markup {
    let mut all = vec![
        ("Boatyard", html! { (host.version) }),
        (
            "Installation",
            html! { code { (host.installation_id) } (button::copy(&host.installation_id, "the installation's id")) },
        ),
    ];
    if let Ok(HostEngine { version, api_version, cpus, memory_bytes, reach, missing_limits }) = &host.engine {
        all.push(("Engine", html! { "Docker " (version) }));
        all.push(("Engine API", html! { (api_version) }));
        all.push(("CPUs", html! { (cpus) }));
        all.push(("Memory", html! { (binary_size(*memory_bytes)) }));
        all.push(("Instances", html! { "Reached " (reach.sentence()) }));
        if !missing_limits.is_empty() {
            all.push(("Limits", html! { "The engine cannot limit " (missing_limits.join(", ")) }));
        }
    }
    facts(&all)
}

fn disk(disk: Option<&DiskSpace>) -> Markup {
    let Some(DiskSpace { free_bytes, total_bytes }) = disk else {
        return html! { p { "The system did not say in time how much space is free." } };
    };
    let used = total_bytes.saturating_sub(*free_bytes);
    // From 90 % on, the next build may find no space.
    let high = total_bytes / 10 * 9;
    html! {
        meter min="0" max=(total_bytes) high=(high) value=(used) aria-label="Used space" {}
        p {
            strong { (binary_size(*free_bytes)) " free" } " of " (binary_size(*total_bytes)) ", where the data directory is."
        }
        @if used > high { p { "This is little. Delete apps that you do not need, or see what else uses the disk: " code { "docker system df" } } }
    }
}

/// How to open the panel on another machine. `base`: its address for this browser.
fn elsewhere(base: &str) -> Markup {
    let (scheme, host) = base.split_once("://").unwrap_or(("http", base));
    let local = host.parse::<SocketAddr>().ok().filter(|it| it.ip().is_loopback());
    let port = local.map(|it| it.port()).unwrap_or_default();
    let tunnel = format!("ssh -L {port}:127.0.0.1:{port} HOST");
    html! {
        p { "This browser uses " code { (base) } (button::copy(base, "the address")) }
        @if local.is_some() {
            p { "Only this host reaches that address. From another machine, forward the port, run "
                code { "boatyard panel --no-open" } " on this host, and open its link there:" }
            p { code { (tunnel) } (button::copy(&tunnel, "the command")) }
            p { "Or let " code { "boatyard serve" } " listen for HTTPS with " code { "--api-tls" } "." }
        } @else if scheme == "https" {
            p { "On another machine, open this address and sign in with a token. " a href="/tokens" { "Create one" } " for each person." }
        } @else {
            p { "The connection is not encrypted. Let " code { "boatyard serve" } " listen for HTTPS with " code { "--api-tls" } " before you use a token elsewhere." }
        }
    }
}

fn images(images: &[HostImage]) -> Markup {
    let row = |it: &HostImage| {
        vec![
            html! { code { (it.reference) } },
            match (&it.app, &it.component) {
                (Some(app), Some(component)) => html! { a href={ "/apps/" (app) } { (app) } " " (component) },
                (Some(app), None) => html! { a href={ "/apps/" (app) } { (app) } },
                (None, _) => html! { small { "not on record" } },
            },
            web::view::time(it.created).map(time::ago).unwrap_or_default(),
            html! { (binary_size(it.size_bytes)) },
            if it.serves {
                badge(Tone::Good, Icon::Done, "Serves")
            } else {
                badge(Tone::Plain, Icon::Past, "For a rollback")
            },
        ]
    };
    if images.is_empty() {
        return html! { p class="hint" { "No app has an image yet." } };
    }
    html! {
        p class="hint" { (counted(images.len() as u64, "image")) ". Images that share layers count them once each." }
        (table("Images", &columns(["Image", "App", "Created", "Size", "Use"]), &images.iter().map(row).collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests {
    use rollout::time::Timestamp;

    use super::*;

    #[test]
    fn the_disk_is_described_in_words_and_a_full_one_says_what_to_do() {
        let html = |free_bytes| disk(Some(&DiskSpace { free_bytes, total_bytes: 100 << 30 })).into_string();
        let roomy = html(40 << 30);
        assert!(
            roomy.contains("40.00 GiB free") && roomy.contains("of 100.00 GiB") && !roomy.contains("docker system df")
        );
        assert!(html(5 << 30).contains("docker system df"));
        assert!(disk(None).into_string().contains("did not say"));
    }

    #[test]
    fn a_local_address_is_reached_through_a_tunnel_and_another_one_with_a_token() {
        let local = elsewhere("http://127.0.0.1:7080").into_string();
        assert!(local.contains("ssh -L 7080:127.0.0.1:7080 HOST") && local.contains("--api-tls"), "{local}");
        let open = elsewhere("https://boatyard.example:7443").into_string();
        assert!(open.contains("/tokens") && !open.contains("ssh"), "{open}");
        assert!(elsewhere("http://10.0.0.2:7080").into_string().contains("not encrypted"));
    }

    #[test]
    fn an_image_shows_whether_it_serves_and_its_text_as_text() {
        let image = |reference: &str, app: Option<&str>, serves| HostImage {
            reference: reference.into(),
            size_bytes: 7 << 20,
            created: Timestamp(1_772_359_293_000),
            app: app.map(Into::into),
            component: app.map(|_| "web".into()),
            serves,
        };
        let html = images(&[image("shop/web:1", Some("shop"), true), image("<b>old</b>", None, false)]).into_string();
        for text in ["/apps/shop", "7.00 MiB", "Serves", "&lt;b&gt;old", "not on record", "For a rollback"] {
            assert!(html.contains(text), "{text}: {html}");
        }
        assert!(!html.contains("<b>"));
    }
}
