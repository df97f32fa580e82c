//! What is written, piece by piece: every piece is a part of the text.

/// A document of lines: a block mapping or a block sequence.
pub(super) struct Document<'t> {
    /// Everything up to `---`, that line included; empty where there is none.
    pub prologue: &'t str,
    /// Comments at the top that an empty line divides from the rest.
    pub header: &'t str,
    pub root: Node<'t>,
    /// From `...` on; empty where there is none.
    pub epilogue: &'t str,
    pub links: Links,
}

/// Which aliases name which anchors.
#[derive(Default)]
pub(super) struct Links {
    /// Where the anchor and where the alias stands, in the order of the aliases.
    pub pairs: Vec<(usize, usize)>,
    /// Two anchors have one name, so that an alias means the last one before it.
    pub is_ambiguous: bool,
}

/// A value or a key.
pub(super) struct Node<'t> {
    /// Anchor and tag.
    pub properties: Vec<&'t str>,
    /// The line that ends between what the node belongs to (a key, a dash) and its content.
    pub line_break: Option<LineBreak<'t>>,
    pub content: Content<'t>,
}

/// A line's end inside an entry.
#[derive(Default)]
pub(super) struct LineBreak<'t> {
    pub beside: Option<Comment<'t>>,
    /// Comments in lines of their own. A collection has them with its first entry.
    pub lead: &'t str,
}

pub(super) enum Content<'t> {
    Nothing,
    /// A plain or quoted scalar, or an alias.
    Text(&'t str),
    Block(BlockScalar<'t>),
    Collection(Collection<'t>),
}

/// A literal (`|`) or folded (`>`) scalar.
pub(super) struct BlockScalar<'t> {
    /// The indicator with those of chomping and indentation.
    pub header: &'t str,
    /// Its last line had no end in the text as it came.
    pub is_open: bool,
    pub beside: Option<Comment<'t>>,
    /// Whole lines, with the indentation that they have.
    pub lines: &'t str,
    pub indent: usize,
}

pub(super) struct Collection<'t> {
    pub kind: Kind,
    pub layout: Layout<'t>,
    pub entries: Vec<Entry<'t>>,
    /// Comments after the last entry.
    pub tail: &'t str,
    /// Where what follows it begins in the text.
    pub end: usize,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Mapping,
    Sequence,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Layout<'t> {
    /// An entry begins a line.
    Lines,
    /// In braces or brackets, on one line.
    Flow,
    /// `[key: value]`: a mapping without its braces.
    Pair,
    /// Brackets that are kept as they are: their keys are no scalars.
    VerbatimFlow(&'t str),
    /// A mapping with explicit keys (`?`) and the column where it began, kept as it is but for the indentation. Of its
    /// entries only the comments above the first are written.
    VerbatimLines(&'t str, usize),
}

/// `key: value`, or an item of a sequence.
pub(super) struct Entry<'t> {
    /// Where it begins in the text.
    pub start: usize,
    /// Whether an empty line stands before it and its comments.
    pub blank: bool,
    /// Comments above it in lines of their own.
    pub lead: &'t str,
    pub key: Option<Node<'t>>,
    /// `{key}` has none.
    pub colon: bool,
    pub value: Node<'t>,
    /// The comment at the end of its last line.
    pub beside: Option<Comment<'t>>,
    /// Comments below it that an empty line divides from the next one.
    pub trail: &'t str,
}

/// A comment at the end of a line.
#[derive(Clone, Copy)]
pub(super) struct Comment<'t> {
    /// Blanks before it.
    pub spaces: usize,
    pub text: &'t str,
}

impl<'t> Node<'t> {
    pub fn of(content: Content<'t>) -> Node<'t> {
        Node { properties: Vec::new(), line_break: None, content }
    }

    /// The comment behind the key or the dash, where the line ends there.
    pub fn head_comment(&self) -> Option<Comment<'t>> {
        self.line_break.as_ref().and_then(|line_break| line_break.beside)
    }

    /// The text of a scalar without its quotes. Escapes stay as they are.
    pub fn name(&self) -> Option<&'t str> {
        let Content::Text(text) = self.content else { return None };
        let unquoted = ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
        Some(unquoted.unwrap_or(text))
    }
}

impl<'t> Entry<'t> {
    pub fn of(start: usize, key: Option<Node<'t>>, value: Node<'t>) -> Entry<'t> {
        Entry { start, blank: false, lead: "", key, colon: true, value, beside: None, trail: "" }
    }

    /// Gives it the comment in the rest of its last line. Behind a closing bracket that is not kept, it goes to the line
    /// of the key, or below the entry where there is one already.
    pub fn end_with(&mut self, comment: Option<Comment<'t>>) {
        match (&self.value.content, comment) {
            (Content::Collection(Collection { layout: Layout::Lines, .. }), Some(comment)) => {
                match self.value.head_comment() {
                    None => self.value.line_break = Some(LineBreak { beside: Some(comment), lead: "" }),
                    Some(_) => self.trail = comment.text,
                }
            }
            _ => self.beside = comment,
        }
    }

    pub fn name(&self) -> Option<&'t str> {
        self.key.as_ref().and_then(Node::name)
    }
}
