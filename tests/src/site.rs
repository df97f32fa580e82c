//! A web server with fixed pages, for the browser tests: a page under test, or one of another origin.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running server. Dropping it stops it.
pub struct Site {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Site {
    /// Serves pages in HTML by their path.
    pub async fn start(pages: &[(&str, &str)]) -> Result<Site> {
        let pages: Arc<[(String, String)]> =
            pages.iter().map(|(path, html)| ((*path).into(), (*html).into())).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let server = tokio::spawn(serve(listener, pages, Arc::clone(&requests)));
        Ok(Site { address, requests, server })
    }

    /// A page's address, under a name or an address of this host: a browser takes `localhost` and `127.0.0.1` for two
    /// sites.
    pub fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.address.port())
    }

    /// The requests so far, each as its method and path.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("nothing panics while it holds the list").clone()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, pages: Arc<[(String, String)]>, requests: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (pages, requests) = (Arc::clone(&pages), Arc::clone(&requests));
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let line = format!("{} {}", request.method(), request.uri().path());
                requests.lock().expect("nothing panics while it holds the list").push(line);
                std::future::ready(Ok::<_, Infallible>(answer(&pages, &request)))
            });
            // A browser may close the connection at any time.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(pages: &[(String, String)], request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let page = pages.iter().find(|(path, _)| path == request.uri().path());
    let (status, html) = page.map_or((404, ""), |(_, html)| (200, html.as_str()));
    let response = Response::builder().status(status).header("content-type", "text/html; charset=utf-8");
    response.body(Full::new(Bytes::from(html.to_owned()))).expect("the status and the header are valid")
}
