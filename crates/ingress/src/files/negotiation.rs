//! What the headers of a request say about a file: which version the client has, which encodings it reads, and which bytes
//! it wants. Pure functions.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use hyper::header::{
    ACCEPT_ENCODING, AsHeaderName, HeaderMap, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};

/// The version of a file.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// Seconds since 1970.
    pub modified: u64,
}

/// How a request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Whole,
    Part(Range<u64>),
    /// 304
    NotModified,
    /// 412
    ConditionFailed,
    /// 416
    NoSuchRange,
}

/// The answer to a GET or HEAD request for a file of this size, in the order of RFC 9110 (13.2.2).
pub(super) fn answer(headers: &HeaderMap, validators: &Validators, size: u64) -> Answer {
    // A date is compared for equality. After a rollback the files are older than those that a client has.
    let is_date = |text: &str| date(text) == Some(validators.modified);
    if let Some(tags) = joined(headers, IF_MATCH) {
        if !matches_tag(&tags, &validators.etag, false) {
            return Answer::ConditionFailed;
        }
    } else if let Some(since) = text(headers, IF_UNMODIFIED_SINCE)
        && date(since).is_some()
        && !is_date(since)
    {
        return Answer::ConditionFailed;
    }
    if let Some(tags) = joined(headers, IF_NONE_MATCH) {
        if matches_tag(&tags, &validators.etag, true) {
            return Answer::NotModified;
        }
    } else if text(headers, IF_MODIFIED_SINCE).is_some_and(is_date) {
        return Answer::NotModified;
    }
    let Some(range) = text(headers, RANGE) else { return Answer::Whole };
    if text(headers, IF_RANGE).is_some_and(|it| it != validators.etag && !is_date(it)) {
        return Answer::Whole;
    }
    match single_range(range, size) {
        Some(Ok(range)) => Answer::Part(range),
        Some(Err(Unsatisfiable)) => Answer::NoSuchRange,
        None => Answer::Whole,
    }
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn joined(headers: &HeaderMap, name: impl AsHeaderName) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().map(|it| it.to_str().unwrap_or_default()).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn date(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|it| it.as_secs())
}

/// The text of a date for a header.
pub(super) fn date_text(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Whether a list of entity tags contains this one. `weak`: weak tags count too. The tags of the ingress contain no comma.
fn matches_tag(list: &str, etag: &str, weak: bool) -> bool {
    list.split(',').map(str::trim).any(|tag| tag == "*" || tag == etag || weak && tag.strip_prefix("W/") == Some(etag))
}

#[derive(Debug, PartialEq, Eq)]
struct Unsatisfiable;

/// The range of a `Range` header. `None`: the header has no effect, because it has several ranges, another unit or is
/// malformed; RFC 9110 (14.2) allows a server to ignore it.
fn single_range(header: &str, size: u64) -> Option<Result<Range<u64>, Unsatisfiable>> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|it| it.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.is_empty(), last.is_empty()) {
        (true, true) => return None,
        // The last bytes.
        (true, false) => size.saturating_sub(number(last)?)..size,
        (false, true) => number(first)?..size,
        (false, false) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            first..size.min(last.saturating_add(1))
        }
    };
    Some(if range.start < range.end { Ok(range) } else { Err(Unsatisfiable) })
}

/// The extension and name of the encodings that the client reads, best first.
pub(super) fn encodings(headers: &HeaderMap) -> Vec<(&'static str, &'static str)> {
    const KNOWN: [(&str, &str); 2] = [("br", "br"), ("gz", "gzip")];
    let Some(accepted) = joined(headers, ACCEPT_ENCODING) else { return Vec::new() };
    let quality = |name: &str| {
        let of = |wanted: &str| {
            accepted.split(',').find_map(|item| {
                let (item, parameters) = item.split_once(';').unwrap_or((item, ""));
                let quality = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |it| it.trim().parse().ok());
                item.trim().eq_ignore_ascii_case(wanted).then(|| quality.unwrap_or(0.0_f32))
            })
        };
        of(name).or_else(|| of("*")).unwrap_or(0.0)
    };
    let mut read: Vec<_> =
        KNOWN.into_iter().map(|it| (it, quality(it.1))).filter(|(_, quality)| *quality > 0.0).collect();
    // Stable: of equal ones, the first is smaller.
    read.sort_by(|one, other| other.1.total_cmp(&one.1));
    read.into_iter().map(|(it, _)| it).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn ranges_are_single_and_in_bytes() {
        for (header, expected) in [
            ("bytes=0-3", Some(Ok(0..4))),
            ("bytes=4-", Some(Ok(4..10))),
            ("bytes=-3", Some(Ok(7..10))),
            ("bytes=-30", Some(Ok(0..10))),
            ("bytes=0-99999999999999999999", None),
            ("bytes=5-18446744073709551615", Some(Ok(5..10))),
            ("bytes=9-9", Some(Ok(9..10))),
            ("bytes=10-", Some(Err(Unsatisfiable))),
            ("bytes=10-12", Some(Err(Unsatisfiable))),
            ("bytes=-0", Some(Err(Unsatisfiable))),
            ("bytes=3-1", None),
            ("bytes=-", None),
            ("bytes=+1-2", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(single_range(header, 10), expected, "{header}");
        }
        assert_eq!(single_range("bytes=0-0", 0), Some(Err(Unsatisfiable)));
    }

    #[test]
    fn conditions_are_evaluated_in_the_order_of_the_standard() {
        let validators = Validators { etag: "\"abc\"".into(), modified: 784_111_777 };
        let (same, later) = ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT");
        for (lines, expected) in [
            (&[][..], Answer::Whole),
            (&[(IF_NONE_MATCH, "\"abc\"")], Answer::NotModified),
            (&[(IF_NONE_MATCH, "\"x\", W/\"abc\"")], Answer::NotModified),
            (&[(IF_NONE_MATCH, "*")], Answer::NotModified),
            (&[(IF_NONE_MATCH, "\"x\"")], Answer::Whole),
            (&[(IF_MODIFIED_SINCE, same)], Answer::NotModified),
            (&[(IF_MODIFIED_SINCE, later)], Answer::Whole),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Answer::Whole),
            (&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, same)], Answer::Whole),
            (&[(IF_MATCH, "\"x\"")], Answer::ConditionFailed),
            (&[(IF_MATCH, "W/\"abc\"")], Answer::ConditionFailed),
            (&[(IF_MATCH, "\"abc\"")], Answer::Whole),
            (&[(IF_UNMODIFIED_SINCE, later)], Answer::ConditionFailed),
            (&[(IF_UNMODIFIED_SINCE, same)], Answer::Whole),
            (&[(RANGE, "bytes=1-2")], Answer::Part(1..3)),
            (&[(RANGE, "bytes=20-")], Answer::NoSuchRange),
            (&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"abc\"")], Answer::Part(1..3)),
            (&[(RANGE, "bytes=1-2"), (IF_RANGE, same)], Answer::Part(1..3)),
            (&[(RANGE, "bytes=1-2"), (IF_RANGE, "\"x\"")], Answer::Whole),
            (&[(RANGE, "bytes=1-2"), (IF_RANGE, later)], Answer::Whole),
            (&[(RANGE, "bytes=1-2"), (IF_NONE_MATCH, "\"abc\"")], Answer::NotModified),
        ] {
            assert_eq!(answer(&headers(lines), &validators, 10), expected, "{lines:?}");
        }
        assert_eq!(date_text(784_111_777), same);
    }

    #[test]
    fn the_best_encoding_that_the_client_reads_comes_first() {
        for (accepted, expected) in [
            ("gzip, deflate, br", &["br", "gzip"][..]),
            ("gzip", &["gzip"]),
            ("br;q=0.5, gzip;q=0.8", &["gzip", "br"]),
            ("br;q=0, gzip", &["gzip"]),
            ("*", &["br", "gzip"]),
            ("*;q=0.1, br;q=0", &["gzip"]),
            ("identity", &[]),
            ("GZIP;q=x", &[]),
            ("", &[]),
        ] {
            let names: Vec<_> =
                encodings(&headers(&[(ACCEPT_ENCODING, accepted)])).into_iter().map(|it| it.1).collect();
            assert_eq!(names, expected, "{accepted}");
        }
        assert_eq!(encodings(&HeaderMap::new()), []);
    }
}
