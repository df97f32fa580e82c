//! Sealed texts open only in the place that they were sealed for.

use crate::{SealError, Sealer};

fn sealer() -> Sealer {
    Sealer::new([3; 32])
}

#[test]
fn a_sealed_text_opens_in_its_place() {
    for plain in [b"".as_slice(), b"hunter2", &[0, 255, 10]] {
        let text = sealer().seal("env/shop", plain);
        assert!(Sealer::is_sealed(&text));
        assert_eq!(sealer().open("env/shop", &text).unwrap(), plain);
    }
}

#[test]
fn a_sealed_text_has_the_form_of_app_platform() {
    let text = sealer().seal("env/shop", b"hunter2");
    let inner = text.strip_prefix("EV[1:").and_then(|it| it.strip_suffix(']')).unwrap();
    let parts: Vec<_> = inner.split(':').collect();
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|it| it.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))));
}

#[test]
fn equal_values_have_different_sealed_texts() {
    assert_ne!(sealer().seal("env/shop", b"hunter2"), sealer().seal("env/shop", b"hunter2"));
}

#[test]
fn a_sealed_text_does_not_open_with_another_place_or_key() {
    let text = sealer().seal("env/shop", b"hunter2");
    let foreign = |place: &str| Err(SealError::ForeignOrDamaged { place: place.to_owned() });
    assert_eq!(sealer().open("env/blog", &text), foreign("env/blog"));
    assert_eq!(Sealer::new([4; 32]).open("env/shop", &text), foreign("env/shop"));
}

#[test]
fn a_sealed_text_with_any_flipped_bit_does_not_open() {
    let sealed = sealer().seal_bytes("p", b"x");
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(sealer().open_bytes("p", &flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn texts_that_were_never_sealed_are_malformed() {
    let texts = ["", "hunter2", "EV[", "EV[]", "EV[1:]", "EV[1::]", "EV[1:AA==:AA==]", "EV[1:!:!]", "EV[2:AA==:AA==]"];
    for text in texts {
        assert!(matches!(sealer().open("p", text), Err(SealError::Malformed { .. })), "{text:?}");
    }
    assert!(sealer().open_bytes("p", &[]).is_err());
    assert!(sealer().open_bytes("p", &[1, 2, 3]).is_err());
}

#[test]
fn errors_do_not_contain_the_text() {
    let error = sealer().open("env/shop", "EV[1:hunter2").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

#[test]
fn a_keyed_hash_shows_only_equality_within_one_place() {
    let hash = |place: &str, text: &str| sealer().keyed_hash(place, text.as_bytes());
    assert_eq!(hash("env/shop", "a"), hash("env/shop", "a"));
    assert_ne!(hash("env/shop", "a"), hash("env/shop", "b"));
    assert_ne!(hash("env/shop", "a"), hash("env/blog", "a"));
    assert_ne!(hash("ab", "c"), hash("a", "bc"));
    assert_ne!(hash("p", "a"), Sealer::new([4; 32]).keyed_hash("p", b"a"));
    assert_eq!(hash("p", "a").len(), 64);
}
