//! The id of a request. It connects the answer that a client has with the line in the access log and the application's log.

use std::cell::Cell;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ids of clients are replaced. Our choice: a UUID has 36 characters.
const LONGEST: usize = 128;

/// Gives a request its id, in the header for the application: the one that the client sent, if it is usable.
pub(crate) fn ensure(headers: &mut HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(REQUEST_ID).iter();
    if let (Some(only), None) = (given.next(), given.next())
        && is_usable(only)
    {
        return only.clone();
    }
    let id = new();
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// Whether it can be written to logs and pages as it is.
fn is_usable(id: &HeaderValue) -> bool {
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:=+/@".contains(byte);
    (1..=LONGEST).contains(&id.len()) && id.as_bytes().iter().all(is_allowed)
}

/// An id of 32 hexadecimal digits. It is unique, but can be guessed.
pub(crate) fn new() -> HeaderValue {
    thread_local! {
        static PREFIX: u64 = uuid::Uuid::new_v4().as_u64_pair().0;
        static COUNT: Cell<u64> = const { Cell::new(0) };
    }
    let count = COUNT.get().wrapping_add(1);
    COUNT.set(count);
    let number = u128::from(PREFIX.with(|it| *it)) << 64 | u128::from(count);
    let mut text = [0; 32];
    hex::encode_to_slice(number.to_be_bytes(), &mut text).expect("a byte has two digits");
    HeaderValue::from_bytes(&text).expect("digits are header text")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(given: &[&'static str]) -> (HeaderValue, HeaderMap) {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(REQUEST_ID, HeaderValue::from_static(value));
        }
        (ensure(&mut headers), headers)
    }

    #[test]
    fn a_usable_id_of_the_client_is_kept() {
        for id in ["1", "018f7a52-1c1b-7000-8000-0242ac120002", "Root=1-67891233-abcdef012345678912345678"] {
            let (used, headers) = ids(&[id]);
            assert_eq!((used, headers[REQUEST_ID].as_bytes()), (HeaderValue::from_static(id), id.as_bytes()));
        }
    }

    #[test]
    fn a_missing_or_unusable_id_is_replaced_by_a_new_one() {
        let long: &'static str = "x".repeat(LONGEST + 1).leak();
        for given in [vec![], vec![""], vec!["a b"], vec!["<script>"], vec!["a\tb"], vec![long], vec!["a", "b"]] {
            let (used, headers) = ids(&given);
            assert_eq!((used.len(), headers.get_all(REQUEST_ID).iter().count()), (32, 1), "{given:?}");
            assert_eq!(headers[REQUEST_ID], used);
            assert_ne!(ids(&[]).0, used);
        }
    }
}
