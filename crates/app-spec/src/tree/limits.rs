//! Limits on the size of a spec. Real specs have a median size of 1 KiB and a maximum of 24 KiB. A text that exceeds a
//! limit is an attack or a mistake, and is refused before it uses much time or memory.

use crate::diagnostic::{Code, Diagnostic, Place};

/// The most bytes of text.
pub(crate) const BYTES: usize = 256 * 1024;
/// The deepest nesting of lists and mappings.
pub(crate) const DEPTH: usize = 32;
/// The most characters inside nested brackets that may be YAML marks. One variable uses five.
pub(crate) const MARKS: usize = 16_000;
/// The most uses of an alias (`*alias`).
pub(crate) const ALIASES: usize = 50;
/// The most values, counted after aliases are expanded.
pub(crate) const NODES: usize = 10_000;
/// The most bytes of scalar text after aliases are expanded. Aliases may repeat a long text, but not without limit.
pub(crate) const EXPANDED_BYTES: usize = 2 * BYTES;

/// Counts what a tree uses and refuses it at the first excess.
#[derive(Default)]
pub(crate) struct Budget {
    nodes: usize,
    bytes: usize,
    aliases: usize,
}

impl Budget {
    pub fn spend(&mut self, nodes: usize, bytes: usize, place: Option<Place>) -> Result<(), Diagnostic> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > NODES {
            return Err(too_large(format!("the spec has more than {NODES} values, aliases expanded"), place));
        }
        match self.bytes > EXPANDED_BYTES {
            true => Err(too_large(
                format!("the spec has more than {EXPANDED_BYTES} bytes of text, aliases expanded"),
                place,
            )),
            false => Ok(()),
        }
    }

    pub fn alias(&mut self, place: Option<Place>) -> Result<(), Diagnostic> {
        self.aliases += 1;
        match self.aliases > ALIASES {
            true => Err(too_large(format!("the spec uses more than {ALIASES} aliases"), place)),
            false => Ok(()),
        }
    }
}

pub(crate) fn check_depth(depth: usize, place: Option<Place>) -> Result<(), Diagnostic> {
    match depth > DEPTH {
        true => Err(too_large(format!("lists and mappings are nested more than {DEPTH} deep"), place)),
        false => Ok(()),
    }
}

pub(crate) fn check_bytes(bytes: usize) -> Result<(), Diagnostic> {
    match bytes > BYTES {
        true => Err(too_large(format!("the text has more than {BYTES} bytes, the limit for a spec"), None)),
        false => Ok(()),
    }
}

pub(crate) fn looked_too_far_ahead(place: Place) -> Diagnostic {
    too_large(format!("nested brackets contain more than {MARKS} marks, such as commas and colons"), Some(place))
}

fn too_large(message: String, place: Option<Place>) -> Diagnostic {
    Diagnostic::error(Code::TooLarge, "", message).at(place)
}
