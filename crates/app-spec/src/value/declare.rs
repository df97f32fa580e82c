//! [`object!`] and [`words!`] declare a type of the spec once.
//!
//! `object!` generates the struct, the description of its fields, its reader and its writer. A line is `field: Type =
//! RULE`. `as "type"` gives the name in the text if it differs from the Rust name. In the text, fields under `..`
//! appear at the same level as the others. `labelled` gives the field that identifies an item of a list. `finish` names
//! a function that is called once after the last field is read.

/// The name of a field in the text.
macro_rules! field_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $name:literal) => {
        $name
    };
}

macro_rules! object {
    (
        $(#[$meta:meta])*
        $what:literal struct $Name:ident $(labelled $label_name:literal $($label:ident).+)? $(finish $finish:ident)? {
            $(.. { $( $(#[$inner_meta:meta])* $inner:ident: $Inner:ty, )+ })?
            $( $(#[doc = $doc:literal])* $field:ident $(as $name:literal)?: $ty:ty = $rule:expr, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $Name {
            $($( $(#[$inner_meta])* pub $inner: $Inner, )+)?
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        impl $crate::value::Object for $Name {
            const WHAT: &'static str = $what;

            fn fields() -> &'static [$crate::value::Field] {
                static FIELDS: std::sync::LazyLock<Vec<$crate::value::Field>> = std::sync::LazyLock::new(|| {
                    let inner: &[&[$crate::value::Field]] = &[$($( <$Inner as $crate::value::Object>::fields(), )+)?];
                    let own = [$( $crate::value::Field {
                        name: $crate::value::declare::field_name!($field $($name)?),
                        doc: concat!($($doc),*),
                        shape: <$ty as $crate::value::SpecValue>::shape(),
                        rule: $rule,
                    }, )*];
                    inner.concat().into_iter().chain(own).collect()
                });
                &FIELDS
            }

            fn read_field(&mut self, entry: &$crate::tree::Entry, reader: &mut $crate::value::Reader) -> bool {
                $($( if $crate::value::Object::read_field(&mut self.$inner, entry, reader) { return true; } )+)?
                $( if &*entry.key == $crate::value::declare::field_name!($field $($name)?) {
                    let value = reader.field($crate::value::declare::field_name!($field $($name)?), entry, |reader| {
                        reader.value::<$ty>(&entry.value, &$rule)
                    });
                    if let Some(value) = value {
                        self.$field = value;
                    }
                    return true;
                } )*
                let _ = (entry, reader);
                false
            }

            fn write_fields(
                &self,
                writer: &mut $crate::value::Writer<'_>,
                out: &mut Vec<$crate::tree::Entry>,
            ) {
                $($( $crate::value::Object::write_fields(&self.$inner, writer, out); )+)?
                $( if !$crate::value::SpecValue::is_zero(&self.$field) {
                    let name = $crate::value::declare::field_name!($field $($name)?);
                    writer.trail.push(name);
                    let value = $crate::value::SpecValue::write(&self.$field, writer);
                    out.extend(value.map(|value| $crate::tree::Entry::new(name, value)));
                    writer.trail.pop();
                } )*
            }

            fn finish(&mut self, what: &str, node: &$crate::tree::Node, reader: &mut $crate::value::Reader) {
                $($( $crate::value::Object::finish(&mut self.$inner, what, node, reader); )+)?
                $( self.$finish(node, reader); )?
                let _ = (what, node, reader);
            }
        }

        impl $crate::value::SpecValue for $Name {
            $( const LABEL: Option<&'static str> = Some($label_name); )?

            fn placeholder() -> Option<$Name> {
                Some($Name::default())
            }

            fn shape() -> $crate::value::Shape {
                $crate::value::Shape::Object(<$Name as $crate::value::Object>::fields())
            }

            fn read(
                node: &$crate::tree::Node,
                _: &$crate::value::Rule,
                reader: &mut $crate::value::Reader,
            ) -> Option<$Name> {
                reader.object(node)
            }

            fn write(&self, writer: &mut $crate::value::Writer<'_>) -> Option<$crate::tree::Node> {
                let mut fields = Vec::new();
                $crate::value::Object::write_fields(self, writer, &mut fields);
                // Writes the name first, because people look for it.
                fields.sort_by_key(|field| &*field.key != "name");
                Some($crate::tree::Node::mapping(fields))
            }

            $( fn label(&self) -> Option<&str> {
                Some(&self.$($label).+).filter(|l| !l.is_empty()).map(|l| l.as_str())
            } )?
        }
    };
}

/// Declares an enum of words. Reads any case.
macro_rules! words {
    (
        $(#[$meta:meta])*
        enum $Name:ident { $( $(#[$variant_meta:meta])* $Variant:ident = $word:literal, )+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Name { $( $(#[$variant_meta])* $Variant, )+ }

        impl $Name {
            /// All words, in the order of the reference.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word as written in a spec.
            pub fn as_str(self) -> &'static str {
                match self { $( $Name::$Variant => $word, )+ }
            }

        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::value::SpecValue for $Name {
            fn shape() -> $crate::value::Shape {
                $crate::value::Shape::Word($Name::WORDS)
            }

            fn read(
                node: &$crate::tree::Node,
                _: &$crate::value::Rule,
                reader: &mut $crate::value::Reader,
            ) -> Option<$Name> {
                let word = reader.word(node, $Name::WORDS)?;
                [$($Name::$Variant),+].into_iter().find(|it| it.as_str() == word)
            }

            fn write(&self, _: &mut $crate::value::Writer<'_>) -> Option<$crate::tree::Node> {
                Some($crate::tree::Node::text(self.as_str()))
            }
        }
    };
}

pub(crate) use {field_name, object, words};

use super::Reader;
use super::form::unsubstituted;
use super::rule::ANY;
use crate::diagnostic::{Code, Diagnostic};
use crate::suggest::{nearest, one_of, shown_key};
use crate::tree::Node;

impl Reader {
    /// Reads one of `words`, in any case. Empty text counts as absent.
    pub fn word(&mut self, node: &Node, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(node, &ANY)?;
        if text.is_empty() {
            return None;
        }
        let shown = shown_key(&text);
        if let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(&text.replace('-', "_"))) {
            // App Platform's API accepts only the exact spelling.
            if *word != text {
                let message = format!("`{shown}` is read as `{word}`");
                self.report(Diagnostic::warning(Code::Converted, "", message).help(format!("write `{word}`")));
            }
            return Some(word);
        }
        let problem = match unsubstituted(&text) {
            Err(complaint) => Diagnostic::error(complaint.code, "", complaint.message)
                .help(format!("write {}", one_of(allowed(words)))),
            Ok(()) => Diagnostic::error(Code::UnknownValue, "", format!("`{shown}` is not allowed here")).help(
                match nearest(&text, words.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("allowed: {}", one_of(allowed(words))),
                },
            ),
        };
        self.report(problem);
        None
    }
}

/// The words to suggest, without those that mean "not given".
fn allowed(words: &[&'static str]) -> impl Iterator<Item = &'static str> {
    words.iter().copied().filter(|w| !w.starts_with("UNSPECIFIED") && *w != "UNSET" && *w != "UNKNOWN")
}
