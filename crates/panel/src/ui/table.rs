//! Tables, and lists of facts.

use maud::{Markup, html};

/// A column: its heading, and whether it contains numbers.
#[derive(Debug, Clone, Copy)]
pub struct Column(pub &'static str, pub Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text, badges, links.
    Text,
    /// Numbers, which line up on the right.
    Number,
    /// Buttons. The heading is only read out.
    Actions,
}

/// Columns with these headings, which contain text. The one named `Actions` contains buttons, and `Size` numbers.
pub fn columns<const N: usize>(headings: [&'static str; N]) -> [Column; N] {
    headings.map(|it| match it {
        "Actions" => Column(it, Kind::Actions),
        "Size" => Column(it, Kind::Number),
        _ => Column(it, Kind::Text),
    })
}

/// A table. On a phone each row becomes a card, in which the headings stand before the values. The first cell of a row
/// is its name. `caption` is read out, and not shown.
pub fn table(caption: &str, columns: &[Column], rows: &[Vec<Markup>]) -> Markup {
    html! {
        table {
            caption class="unseen" { (caption) }
            thead { tr {
                @for Column(heading, kind) in columns {
                    th scope="col" class=[class(*kind)] { span class=[(*kind == Kind::Actions).then_some("unseen")] { (heading) } }
                }
            } }
            tbody { @for row in rows { tr {
                @for (index, (cell, Column(heading, kind))) in row.iter().zip(columns).enumerate() {
                    @if index == 0 { th scope="row" { (cell) } }
                    @else { td class=[class(*kind)] data-label=[(*kind != Kind::Actions).then_some(heading)] { (cell) } }
                }
            } } }
        }
    }
}

fn class(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Text => None,
        Kind::Number => Some("number"),
        Kind::Actions => Some("buttons"),
    }
}

/// Facts with their names: `facts(&[("Commit", html! { code { "4f1c" } })])`.
pub fn facts(facts: &[(&str, Markup)]) -> Markup {
    html! { dl class="facts" { @for (name, value) in facts { div { dt { (name) } dd { (value) } } } } }
}
