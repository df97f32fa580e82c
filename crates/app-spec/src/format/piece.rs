//! The pieces of a text, as the parser tells of them.

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::syntax::Kind;
use crate::diagnostic::Place;
use crate::tree::Offsets;

/// What the parser says of a piece of the text.
pub(super) struct Piece {
    pub kind: PieceKind,
    /// How many anchors and tags stand before it.
    pub properties: usize,
    pub start: usize,
    pub end: usize,
    /// The anchor that it has or names.
    pub anchor: usize,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum PieceKind {
    Nothing,
    Text,
    BlockScalar,
    Alias,
    Opens { kind: Kind, in_brackets: bool },
    Closes,
}

impl Piece {
    /// A collection whose entries begin lines, or a pair in brackets.
    pub fn is_block_collection(&self) -> bool {
        matches!(self.kind, PieceKind::Opens { in_brackets: false, .. })
    }

    pub fn is_nothing(&self) -> bool {
        self.kind == PieceKind::Nothing && self.properties == 0
    }
}

/// The pieces of the document, and where its content begins.
pub(super) fn pieces(text: &str) -> Option<(Vec<Piece>, usize)> {
    let mut offsets = Offsets::new(text, 0);
    let (mut pieces, mut content_start) = (Vec::new(), 0);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        let place = offsets.place(&span);
        if event == Event::DocumentStart(true) {
            content_start = place.end;
        }
        pieces.extend(piece(&event, place, text, &offsets));
    }
    Some((pieces, content_start))
}

fn piece(event: &Event, place: Place, text: &str, offsets: &Offsets) -> Option<Piece> {
    let written = &text[place.start..];
    // What begins without a bracket is nowhere: its first key may begin with one.
    let in_brackets = place.end > place.start && written.starts_with(['[', '{']);
    let (kind, end, anchor, tag) = match event {
        Event::Scalar(says, style, anchor, tag) => {
            let (kind, end) = match style {
                ScalarStyle::Plain if says.is_empty() || (says == "~" && !written.starts_with('~')) => {
                    (PieceKind::Nothing, place.start)
                }
                ScalarStyle::Literal | ScalarStyle::Folded => (PieceKind::BlockScalar, place.end),
                ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                    (PieceKind::Text, offsets.of_scalar_alone(place, *style).end)
                }
            };
            (kind, end, *anchor, tag.is_some())
        }
        Event::SequenceStart(anchor, tag) => {
            (PieceKind::Opens { kind: Kind::Sequence, in_brackets }, place.end, *anchor, tag.is_some())
        }
        Event::MappingStart(anchor, tag) => {
            (PieceKind::Opens { kind: Kind::Mapping, in_brackets }, place.end, *anchor, tag.is_some())
        }
        Event::Alias(anchor) => (PieceKind::Alias, place.end, *anchor, false),
        Event::SequenceEnd | Event::MappingEnd => (PieceKind::Closes, place.end, 0, false),
        Event::DocumentStart(_) | Event::DocumentEnd => return None,
        Event::Nothing | Event::StreamStart | Event::StreamEnd => return None,
    };
    let has_anchor = anchor != 0 && kind != PieceKind::Alias;
    Some(Piece { kind, properties: usize::from(has_anchor) + usize::from(tag), start: place.start, end, anchor })
}
