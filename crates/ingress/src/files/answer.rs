//! The response to one request for a file.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use hyper::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderName, HeaderValue, LAST_MODIFIED, LOCATION, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};
use site_files::{Entry, StoredSite};

use super::contents::Site;
use super::file_body::{Content, FileBody, read_cached};
use super::lookup::{FoundFile, Lookup};
use super::negotiation::{Answer, Validators, answer, date_text, encodings};
use super::small_files;
use crate::access_log::AccessLogEntry;
use crate::body::ResponseBody;
use crate::cors::CorsRequest;
use crate::counters::RequestRecord;
use crate::error_response::ProxyError;
use crate::path::NormalPath;
use crate::proxy::ClientRequest;
use crate::table::{App, CompiledRule, RouteMatch, Table};
use crate::upload::has_body;

/// A browser asks again after ten seconds whether a file has changed, as on App Platform. With the entity tag, the answer is
/// usually that it has not.
const FRESH: HeaderValue = HeaderValue::from_static("public, max-age=10");
/// For answers that depend on which files there are.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A rule that serves files.
pub(crate) struct FoundSite {
    app: Arc<App>,
    rule: usize,
}

impl FoundSite {
    fn rule(&self) -> &CompiledRule {
        &self.app.rules[self.rule]
    }

    fn site(&self) -> Option<&Site> {
        self.rule().files.as_ref()
    }
}

/// The rule of a request, if it serves files. `None`: the request takes the way to an instance, where errors, redirects and
/// maintenance are handled.
pub(crate) fn find(table: &Table, host: &str, path: &NormalPath<'_>, server_name: Option<&str>) -> Option<FoundSite> {
    let app = table.app(host).filter(|app| app.policy.maintenance.is_none())?;
    if table.is_misdirected(app, server_name) {
        return None;
    }
    let RouteMatch::Rule(rule) = app.find(host, path) else { return None };
    app.rules[rule].files.is_some().then(|| FoundSite { app: Arc::clone(app), rule })
}

/// Answers from the files. The request counts for its app.
pub(crate) async fn respond(
    found: FoundSite,
    request: &ClientRequest,
    started: Instant,
    cors: Option<&CorsRequest>,
    entry: Option<&mut AccessLogEntry>,
) -> Result<Response<ResponseBody>, ProxyError> {
    if let Some(entry) = entry {
        entry.matched(&found.app.id, &found.rule().component);
    }
    let mut record = RequestRecord::new(&found.app.counters, started);
    record.belongs_to(&found.rule().counters);
    let policy = found.rule().cors.as_ref();
    if let (Some(policy), Some(cors)) = (policy, cors)
        && cors.is_preflight
        && policy.allows(cors)
    {
        record.finish();
        let preflight = policy.preflight_response(cors);
        record.answered_by_ingress(preflight.status(), None);
        return Err(ProxyError::Preflight(Box::new(preflight)));
    }
    let component = || found.rule().component.clone();
    let mut response = if matches!(*request.method(), Method::GET | Method::HEAD) {
        let path = found.rule().target(request.uri());
        let lookup = found.site().and_then(|site| site.lookup(path.path(), request.uri().path()));
        match lookup {
            None => {
                record.failed(None);
                return Err(refused(&record, ProxyError::FilesUnreadable { component: component() }));
            }
            Some(Lookup::Directory) => {
                record.finish();
                let response = directory(request);
                record.answered_by_ingress(response.status(), None);
                response
            }
            Some(Lookup::Missing(None)) => {
                record.finish();
                return Err(refused(&record, ProxyError::NoSuchFile { component: component() }));
            }
            Some(Lookup::Missing(Some(document))) => file(document, request, true, record, component()).await?,
            Some(Lookup::Found(file_found)) => file(file_found, request, false, record, component()).await?,
        }
    } else {
        record.finish();
        record.answered_by_ingress(StatusCode::METHOD_NOT_ALLOWED, Some("method-not-allowed"));
        empty(StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, HeaderValue::from_static("GET, HEAD"))])
    };
    if let Some(policy) = policy {
        policy.apply(cors, response.headers_mut());
    }
    if has_body(request.body().as_ref()) {
        // The body is not read.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Counts an error of the ingress.
fn refused(record: &RequestRecord, error: ProxyError) -> ProxyError {
    record.answered_by_ingress(error.status(), error.error_code());
    error
}

fn empty<const N: usize>(status: StatusCode, headers: [(HeaderName, HeaderValue); N]) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Generated(None));
    *response.status_mut() = status;
    response.headers_mut().extend(headers);
    response
}

/// Adds the slash at the end of the path.
fn directory(request: &ClientRequest) -> Response<ResponseBody> {
    let query = request.uri().query().map(|it| format!("?{it}")).unwrap_or_default();
    let location = format!("{}/{query}", request.uri().path());
    // A parsed path and query are header text.
    let location = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static("/"));
    empty(StatusCode::FOUND, [(LOCATION, location), (CACHE_CONTROL, ASK_AGAIN)])
}

/// `missing`: the file is the document for missing files. It is sent as a whole.
async fn file(
    found: FoundFile,
    request: &ClientRequest,
    missing: bool,
    mut record: RequestRecord,
    component: String,
) -> Result<Response<ResponseBody>, ProxyError> {
    let compressed = ["br", "gz"].map(|extension| (extension, found.compressed(extension)));
    let has_compressed = compressed.iter().any(|(_, entry)| entry.is_some());
    let encoded = encodings(request.headers()).into_iter().find_map(|(extension, name)| {
        let (_, entry) = compressed.iter().find(|(known, _)| *known == extension)?;
        Some((name, (*entry)?))
    });
    let entry = encoded.map_or(found.entry, |(_, entry)| entry);
    let validators = Validators { etag: format!("\"{}\"", entry.sha256.short()), modified: found.site.index.stored_at };
    let text = |text: String| HeaderValue::try_from(text).expect("digits, letters and punctuation are header text");

    let answer = if missing { Answer::Whole } else { answer(request.headers(), &validators, entry.size) };
    let (status, range) = match answer {
        Answer::Whole if missing => (StatusCode::NOT_FOUND, 0..entry.size),
        Answer::Whole => (StatusCode::OK, 0..entry.size),
        Answer::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Answer::NotModified => (StatusCode::NOT_MODIFIED, 0..0),
        Answer::ConditionFailed => (StatusCode::PRECONDITION_FAILED, 0..0),
        Answer::NoSuchRange => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
    };
    let mut response = empty(status, [(CACHE_CONTROL, if missing { ASK_AGAIN } else { FRESH })]);
    let headers = response.headers_mut();
    if has_compressed {
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    }
    if !missing {
        headers.insert(ETAG, text(validators.etag));
        headers.insert(LAST_MODIFIED, text(date_text(validators.modified)));
    }
    match status {
        StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED => {
            record.response_started(status);
            record.finish();
            return Ok(response);
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            headers.insert(CONTENT_RANGE, text(format!("bytes */{}", entry.size)));
            record.response_started(status);
            record.finish();
            return Ok(response);
        }
        StatusCode::PARTIAL_CONTENT => {
            headers.insert(CONTENT_RANGE, text(format!("bytes {}-{}/{}", range.start, range.end - 1, entry.size)));
        }
        _ => {}
    }
    if !missing {
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    headers.insert(CONTENT_TYPE, content_type(&found.path));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some((name, _)) = encoded {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    headers.insert(CONTENT_LENGTH, (range.end - range.start).into());
    if request.method() == Method::HEAD {
        record.response_started(status);
        record.finish();
        return Ok(response);
    }
    match content(found.site, entry).await {
        Ok(content) => {
            record.response_started(status);
            *response.body_mut() = ResponseBody::File(FileBody::new(content, range, record));
            Ok(response)
        }
        Err(error) => {
            tracing::warn!(%component, file = %entry.sha256, %error, "cannot open a file of a static site");
            record.failed(None);
            Err(refused(&record, ProxyError::FilesUnreadable { component }))
        }
    }
}

/// The content in memory if the file is small, else the open file.
async fn content(site: Arc<StoredSite>, entry: Entry) -> io::Result<Content> {
    if let Some(kept) = small_files::get(&entry.sha256) {
        return Ok(Content::Memory(kept));
    }
    let file = open(site, entry).await?;
    // A file that is not in the page cache is read when its bytes are sent, and kept by a later request.
    if let (true, Ok(size)) = (entry.size <= small_files::LONGEST, usize::try_from(entry.size))
        && let Some(Ok(read)) = read_cached(&file, 0, size)
        && read.len() == size
        && entry.sha256.is_of(&read)
    {
        small_files::keep(entry.sha256, read.clone());
        return Ok(Content::Memory(read));
    }
    Ok(Content::Disk(Arc::new(file)))
}

/// Opens the file on this thread if that needs no disk.
async fn open(site: Arc<StoredSite>, entry: Entry) -> io::Result<File> {
    match site.file(&entry, true) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            tokio::task::spawn_blocking(move || site.file(&entry, false)).await.map_err(io::Error::other)?
        }
        result => result,
    }
}

/// By the extension of the name.
fn content_type(path: &str) -> HeaderValue {
    let Some(found) = mime_guess::from_path(path).first_raw() else {
        return HeaderValue::from_static("application/octet-stream");
    };
    // The older name of the same type: https://www.rfc-editor.org/rfc/rfc9239.
    let found = if found == "application/javascript" { "text/javascript" } else { found };
    let is_text = found.starts_with("text/")
        || matches!(found, "application/json" | "application/xml" | "image/svg+xml")
        || found.ends_with("+xml")
        || found.ends_with("+json");
    if !is_text {
        return HeaderValue::from_static(found);
    }
    HeaderValue::try_from(format!("{found}; charset=utf-8")).expect("a type of the table is header text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_follows_from_the_extension_and_text_is_utf_8() {
        for (path, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a/app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("app.css", "text/css; charset=utf-8"),
            ("logo.svg", "image/svg+xml; charset=utf-8"),
            ("data.json", "application/json; charset=utf-8"),
            ("site.webmanifest", "application/manifest+json; charset=utf-8"),
            ("photo.JPG", "image/jpeg"),
            ("font.woff2", "font/woff2"),
            ("code.wasm", "application/wasm"),
            ("CNAME", "application/octet-stream"),
        ] {
            assert_eq!(content_type(path), expected, "{path}");
        }
    }
}
