//! The order of fields: that of the reference, the name first.
//!
//! A key that the reference does not know (`x-…`, `<<`, a mistake) stays behind the field that it stood behind, or at the
//! top. A mapping stays as it is if otherwise an alias came before its anchor.

use super::syntax::{Collection, Content, Document, Entry, Kind, Layout, Links, Node};
use crate::wire::{Field, Shape};

/// Brings the fields of a spec that looks like `shape` into order.
pub(super) fn arrange(document: &mut Document, shape: &Shape) {
    let links = std::mem::take(&mut document.links);
    if !links.is_ambiguous {
        let first = first_of(&document.root);
        arrange_node(unwrapped(&mut document.root), shape, &links);
        keep_on_top(document, first);
    }
}

fn first_of(root: &Node) -> Option<usize> {
    let Content::Collection(collection) = &root.content else { return None };
    collection.entries.first().map(|entry| entry.start)
}

/// The comments in the first lines of a text are about the whole, unless there is a header already: they do not go away
/// with the entry that was first.
fn keep_on_top(document: &mut Document, first: Option<usize>) {
    let is_moved = first != first_of(&document.root);
    let Content::Collection(Collection { entries, .. }) = &mut document.root.content else { return };
    if is_moved
        && document.header.trim_ascii().is_empty()
        && let Some(entry) = entries.iter_mut().find(|entry| Some(entry.start) == first)
    {
        document.header = std::mem::take(&mut entry.lead);
    }
}

/// What is under `spec:`, where nothing but that and `x-…` is around it.
fn unwrapped<'d, 't>(root: &'d mut Node<'t>) -> &'d mut Node<'t> {
    let wrapped = match &root.content {
        Content::Collection(Collection { kind: Kind::Mapping, entries, .. }) => {
            let is_extension = |entry: &Entry| entry.name().is_some_and(|name| name.starts_with("x-"));
            let mut fields = (0..entries.len()).filter(|i| !is_extension(&entries[*i]));
            let only = fields.next().filter(|_| fields.next().is_none());
            only.filter(|i| entries[*i].name() == Some("spec"))
        }
        _ => None,
    };
    match (wrapped, root) {
        (Some(index), Node { content: Content::Collection(Collection { entries, .. }), .. }) => {
            &mut entries[index].value
        }
        (_, root) => root,
    }
}

fn arrange_node(node: &mut Node, shape: &Shape, links: &Links) {
    let Content::Collection(collection) = &mut node.content else { return };
    match (collection.kind, shape) {
        (Kind::Sequence, Shape::List(item)) => {
            collection.entries.iter_mut().for_each(|entry| arrange_node(&mut entry.value, item, links));
        }
        (Kind::Mapping, Shape::Object(fields)) if !matches!(collection.layout, Layout::VerbatimLines(..)) => {
            arrange_mapping(collection, fields, links)
        }
        _ => {}
    }
}

fn arrange_mapping(mapping: &mut Collection, fields: &[Field], links: &Links) {
    for entry in &mut mapping.entries {
        let field = entry.name().and_then(|name| fields.iter().find(|field| field.name == name));
        if let Some(field) = field {
            arrange_node(&mut entry.value, &field.shape, links);
        }
    }
    let order = order(mapping.entries.iter().map(Entry::name), fields);
    if order.is_sorted() || !anchors_stay_first(mapping, &order, links) {
        return;
    }
    let mut entries: Vec<Option<Entry>> = mapping.entries.drain(..).map(Some).collect();
    mapping.entries.extend(order.iter().filter_map(|index| entries[*index].take()));
    if mapping.layout == Layout::Lines {
        // The empty line before the entry that is first now divides from it the one that was.
        let blank = std::mem::take(&mut mapping.entries[0].blank);
        let first = order.iter().position(|index| *index == 0).unwrap_or_default();
        mapping.entries[first].blank |= blank;
    }
}

/// The indices of `keys` in the order of `fields`.
pub(super) fn order<'k>(keys: impl Iterator<Item = Option<&'k str>>, fields: &[Field]) -> Vec<usize> {
    let mut rank = 0;
    let ranks: Vec<usize> = keys
        .map(|key| {
            rank = match fields.iter().position(|field| Some(field.name) == key) {
                Some(_) if key == Some("name") => 1,
                Some(index) => index + 2,
                None => rank,
            };
            rank
        })
        .collect();
    let mut order: Vec<usize> = (0..ranks.len()).collect();
    order.sort_by_key(|index| ranks[*index]);
    order
}

/// Whether every anchor would still stand before its aliases. The entries are in the order of the text.
fn anchors_stay_first(mapping: &Collection, order: &[usize], links: &Links) -> bool {
    let holder = |at: usize| {
        let before = mapping.entries.partition_point(|entry| entry.start <= at);
        before.checked_sub(1).filter(|_| at < mapping.end)
    };
    let place = |index: usize| order.iter().position(|i| *i == index);
    links.pairs.iter().all(|(anchor, alias)| match (holder(*anchor), holder(*alias)) {
        (Some(anchor), Some(alias)) if anchor != alias => place(anchor) < place(alias),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::AppSpec;
    use crate::wire::Object;

    #[test]
    fn known_keys_are_sorted_and_take_unknown_ones_with_them() {
        let keys = ["x-a", "services", "x-b", "nmae", "name", "<<", "services"].map(Some);
        assert_eq!(order(keys.into_iter(), AppSpec::fields()), [0, 4, 5, 1, 2, 3, 6]);
    }
}
