//! The page for a request head that the HTTP library cannot read. The library itself answers with an empty body.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;

use crate::request_id;

/// The page, and what the access log says about it.
pub(super) struct RefusedHead {
    pub status: StatusCode,
    pub request_id: HeaderValue,
    pub page: Bytes,
}

/// The answer in place of the library's, if `written` is one: the status line, and nothing but a length of 0 and a date.
pub(super) fn page_for(written: &[u8]) -> Option<RefusedHead> {
    let text = std::str::from_utf8(written.strip_suffix(b"\r\n\r\n")?).ok()?;
    let mut lines = text.split("\r\n");
    let (status, message) = match lines.next()? {
        "HTTP/1.1 400 Bad Request" => {
            (StatusCode::BAD_REQUEST, "The request cannot be read: its first line or a header is malformed.")
        }
        "HTTP/1.1 414 URI Too Long" => (StatusCode::URI_TOO_LONG, "The address is too long."),
        "HTTP/1.1 431 Request Header Fields Too Large" => {
            (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too long, or there are too many.")
        }
        _ => return None,
    };
    let (mut is_empty, mut is_other) = (false, false);
    for line in lines {
        is_empty |= line == "content-length: 0";
        is_other |= line != "content-length: 0" && !line.starts_with("date: ") && line != "connection: close";
    }
    if !is_empty || is_other {
        return None;
    }
    let request_id = request_id::new();
    let id = String::from_utf8_lossy(request_id.as_bytes());
    let body = format!("{status}: {message}\nRequest ID: {id}\n");
    let page = Bytes::from(format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         x-boatyard-error: malformed-request\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ));
    Some(RefusedHead { status, request_id, page })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_librarys_empty_answers_get_a_page() {
        let date = "date: Mon, 30 Nov 2026 23:00:00 GMT\r\n";
        for status in ["400 Bad Request", "414 URI Too Long", "431 Request Header Fields Too Large"] {
            let text = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n{date}\r\n");
            let RefusedHead { page, request_id, .. } = page_for(text.as_bytes()).unwrap();
            let id = format!("Request ID: {}\n", request_id.to_str().unwrap());
            assert!(page.ends_with(id.as_bytes()));
            assert!(page.starts_with(format!("HTTP/1.1 {status}\r\n").as_bytes()), "{status}");
        }
        for other in [
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nabc",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-boatyard-error: bad-request\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "",
        ] {
            assert!(page_for(other.as_bytes()).is_none(), "{other}");
        }
    }
}
