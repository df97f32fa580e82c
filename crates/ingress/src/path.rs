//! Normalizes paths for routing, and rewrites them.
//!
//! A path is matched in normal form and forwarded unchanged. An upstream may decode `%2F`, treat `\` as `/` or merge
//! slashes, and then see a path that belongs to another route. So such a path is read both ways, and refused if the two
//! readings match different rules. Dot segments are refused in every spelling.

use crate::protocol::Rewrite;

/// A request path that may be matched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NormalPath<'a> {
    /// All readers agree on this path.
    Plain(&'a str),
    /// Encoded slashes left encoded; and everything decoded, with slashes merged.
    TwoReadings { kept: String, decoded: String },
}

/// Why a path is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadPath {
    NotAbsolute,
    DotSegment,
    BadEncoding,
}

impl<'a> NormalPath<'a> {
    pub fn parse(raw: &'a str) -> Result<Self, BadPath> {
        if !raw.starts_with('/') {
            return Err(BadPath::NotAbsolute);
        }
        if is_plain(raw.as_bytes()) {
            return Ok(NormalPath::Plain(raw));
        }
        let kept = decode(raw, false)?;
        let decoded = merge_slashes(&decode(raw, true)?);
        if decoded.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(BadPath::DotSegment);
        }
        Ok(NormalPath::TwoReadings { kept, decoded })
    }
}

/// Whether all readers agree: no `%`, no `\`, no `//`, and no segment that starts with a dot.
fn is_plain(raw: &[u8]) -> bool {
    let odd = raw.iter().any(|byte| matches!(byte, b'%' | b'\\'));
    !odd && !raw.windows(2).any(|pair| pair[0] == b'/' && matches!(pair[1], b'/' | b'.'))
}

fn decode(raw: &str, slashes: bool) -> Result<String, BadPath> {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let (byte, width) = match bytes[at] {
            b'%' => (hex_pair(bytes.get(at + 1..at + 3)).ok_or(BadPath::BadEncoding)?, 3),
            other => (other, 1),
        };
        match byte {
            0..=31 | 127 => return Err(BadPath::BadEncoding),
            b'/' | b'\\' if slashes => out.push(b'/'),
            b'/' | b'\\' if width == 3 => out.extend_from_slice(&bytes[at..at + 3]),
            _ => out.push(byte),
        }
        at += width;
    }
    // Rules are text. A segment that is not UTF-8 matches none of them, so lossy conversion is safe.
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn hex_pair(pair: Option<&[u8]>) -> Option<u8> {
    let &[high, low] = pair? else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn merge_slashes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !out.ends_with('/') {
            out.push(character);
        }
    }
    out
}

/// Whether `path` starts with the segments of `prefix`, which has no trailing slash (the root is empty).
pub(crate) fn has_prefix(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path sent to the upstream, not decoded. `segments` is the number of segments in the matched prefix. `None`:
/// unchanged.
pub(crate) fn rewritten(raw: &str, segments: usize, rewrite: &Rewrite) -> Option<String> {
    let replacement = match rewrite {
        Rewrite::Keep => return None,
        Rewrite::Strip if segments == 0 => return None,
        Rewrite::Strip => "/",
        Rewrite::Replace(replacement) => replacement.as_str(),
    };
    let rest = after_segments(raw, segments);
    let base = replacement.trim_matches('/');
    if rest.is_empty() {
        let slash = if replacement.ends_with('/') && !base.is_empty() { "/" } else { "" };
        return Some(format!("/{base}{slash}"));
    }
    let slash = if base.is_empty() { "" } else { "/" };
    // Never start with two slashes: an application that builds a redirect from `//x` would send the client to host `x`.
    Some(format!("{slash}{base}/{}", rest.trim_start_matches('/')))
}

/// The rest after the first `segments` segments: empty, or starting with a slash.
fn after_segments(raw: &str, segments: usize) -> &str {
    let mut rest = raw;
    for _ in 0..segments {
        let inner = rest.strip_prefix('/').unwrap_or(rest);
        rest = inner.find('/').map_or("", |slash| &inner[slash..]);
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_take_whole_segments() {
        for path in ["/api", "/api/", "/api/x"] {
            assert!(has_prefix(path, "/api"), "{path}");
        }
        for path in ["/apix", "/ap", "/", "/x/api"] {
            assert!(!has_prefix(path, "/api"), "{path}");
        }
        assert!(has_prefix("/anything", ""));
    }

    #[test]
    fn rewrites_match_app_platforms() {
        let replace = |with: &str| Rewrite::Replace(with.to_owned());
        let cases = [
            ("/api/x", 1, Rewrite::Keep, "/api/x"),
            ("/api/x", 1, Rewrite::Strip, "/x"),
            ("/api", 1, Rewrite::Strip, "/"),
            ("/api/", 1, Rewrite::Strip, "/"),
            ("/api/v1/x", 2, Rewrite::Strip, "/x"),
            ("/api//x", 1, Rewrite::Strip, "/x"),
            ("/%61pi/a%2Fb", 1, Rewrite::Strip, "/a%2Fb"),
            ("/x", 0, Rewrite::Strip, "/x"),
            ("/api/user/1", 1, replace("/v1/"), "/v1/user/1"),
            ("/api/user/1", 1, replace("/v1"), "/v1/user/1"),
            ("/api/user/1", 1, replace("v1"), "/v1/user/1"),
            ("/api", 1, replace("/v1/"), "/v1/"),
            ("/api", 1, replace("/v1"), "/v1"),
            ("/api/x", 1, replace("/"), "/x"),
            ("/api/x//y", 1, replace("/v1"), "/v1/x//y"),
            ("/x", 0, replace("/v1"), "/v1/x"),
        ];
        for (raw, segments, rewrite, wanted) in cases {
            let got = rewritten(raw, segments, &rewrite).unwrap_or_else(|| raw.to_owned());
            assert_eq!(got, wanted, "{raw} {rewrite:?}");
        }
    }

    #[test]
    fn dot_segments_are_refused_however_they_are_spelled() {
        for raw in
            ["/..", "/a/../b", "/a/%2e%2E/b", "/a/.%2e", "/./a", "/a%2F..%2Fb", "/a\\..\\b", "/a%5c%2e%2e", "/a/."]
        {
            assert_eq!(NormalPath::parse(raw), Err(BadPath::DotSegment), "{raw}");
        }
        for raw in ["/.well-known/x", "/a..b", "/...", "/a/.hidden"] {
            assert!(NormalPath::parse(raw).is_ok(), "{raw}");
        }
    }

    #[test]
    fn broken_encodings_and_control_bytes_are_refused() {
        for raw in ["/%", "/%4", "/%zz", "/a%00b", "/a%0d%0ab", "/%+1"] {
            assert_eq!(NormalPath::parse(raw), Err(BadPath::BadEncoding), "{raw}");
        }
        assert_eq!(NormalPath::parse("*"), Err(BadPath::NotAbsolute));
    }

    #[test]
    fn an_encoded_slash_is_read_both_ways() {
        let wanted = NormalPath::TwoReadings { kept: "/api%2Fx/y".to_owned(), decoded: "/api/x/y".to_owned() };
        assert_eq!(
            NormalPath::parse("/api%2Fx//y").map(|path| match path {
                NormalPath::TwoReadings { kept, decoded } =>
                    NormalPath::TwoReadings { kept: kept.replace("//", "/"), decoded },
                plain @ NormalPath::Plain(_) => plain,
            }),
            Ok(wanted)
        );
        assert_eq!(NormalPath::parse("/api/x"), Ok(NormalPath::Plain("/api/x")));
    }
}
