//! A response on its way to a client.

use hyper::Response;
use hyper::ext::ReasonPhrase;
use hyper::header::{HeaderMap, HeaderValue};

use crate::header_lines::HeaderLines;
use crate::request_id::REQUEST_ID;
use crate::upstream_http1::AnswerHead;

/// A response with headers in two forms: those of an instance by HTTP/1.1 as lines, all others in the map of `head`.
#[derive(Debug)]
pub(crate) struct ClientResponse<B> {
    pub lines: HeaderLines,
    pub head: Response<B>,
}

impl<B> From<Response<B>> for ClientResponse<B> {
    fn from(head: Response<B>) -> Self {
        ClientResponse { lines: HeaderLines::default(), head }
    }
}

impl<B> ClientResponse<B> {
    /// The answer of an instance.
    pub fn new(answer: AnswerHead, body: B) -> Self {
        let mut head = Response::new(body);
        *head.status_mut() = answer.status;
        if let Some(reason) = answer.reason {
            head.extensions_mut().insert::<ReasonPhrase>(reason);
        }
        ClientResponse { lines: answer.headers, head }
    }

    /// All headers in one map. This costs more than everything else that is done for a response, so call it only if headers of
    /// the instance may have to change.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        let lines = std::mem::take(&mut self.lines);
        if !lines.is_empty() {
            let added = std::mem::replace(self.head.headers_mut(), lines.to_map());
            self.head.headers_mut().extend(added);
        }
        self.head.headers_mut()
    }

    /// Adds the id of the request, unless the application has done so.
    pub fn add_request_id(&mut self, id: HeaderValue) {
        if !self.lines.has_request_id {
            self.head.headers_mut().entry(REQUEST_ID).or_insert(id);
        }
    }

    pub fn map<C>(self, change: impl FnOnce(B) -> C) -> ClientResponse<C> {
        ClientResponse { lines: self.lines, head: self.head.map(change) }
    }

    /// The response in the form that the HTTP library takes.
    pub fn into_http(mut self) -> Response<B> {
        self.headers_mut();
        self.head
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::header_lines::NoHeader;

    #[test]
    fn all_headers_are_in_the_map_in_the_end() {
        let mut response = ClientResponse::from(Response::new(()));
        response.lines.push(b"X-Request-Id", b"1", |_, _| Ok::<_, NoHeader>(true)).unwrap();
        response.lines.push(b"X-A", b"2", |_, _| Ok::<_, NoHeader>(true)).unwrap();
        response.add_request_id(HeaderValue::from_static("3"));
        response.head.headers_mut().insert("x-b", HeaderValue::from_static("3"));
        let response = response.into_http();
        let mut all: Vec<_> =
            response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        all.sort_unstable();
        assert_eq!(all, [("x-a", "2"), ("x-b", "3"), ("x-request-id", "1")]);
    }
}
