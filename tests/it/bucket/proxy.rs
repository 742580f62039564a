//! A proxy before a store that lies, loses and lingers, by script.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::server::{Server, runtime};

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The store is not asked, and this status comes.
    Status(u16),
    /// The store is not asked, and the connection ends.
    Reset,
    /// The store does it, and the connection ends without an answer.
    AnswerLost,
    /// The store does it, and half of its answer comes.
    Torn,
    /// It takes its time.
    Slow,
    /// Nothing comes for as long as anybody waits.
    Silent,
    /// Conditions do not reach the store.
    Unconditional,
}

/// One request as the script sees it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) has_condition: bool,
}

type Script = dyn FnMut(&Asked) -> Option<Lie> + Send;

/// A proxy before a server; it ends with the process.
pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    lies: Arc<Mutex<usize>>,
}

impl Proxy {
    pub(crate) fn before(
        server: &'static Server,
        script: impl FnMut(&Asked) -> Option<Lie> + Send + 'static,
    ) -> Self {
        let listener = runtime()
            .block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))
            .unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let lies = Arc::default();
        let behind = Arc::new(Behind {
            server,
            http: reqwest::Client::new(),
            script: Mutex::new(Box::new(script)),
            lies: Arc::clone(&lies),
        });
        runtime().spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    break;
                };
                let behind = Arc::clone(&behind);
                tokio::spawn(async move {
                    let answer = service_fn(|request| Arc::clone(&behind).answer(request));
                    let connection = hyper::server::conn::http1::Builder::new();
                    // It ends with an error where that is the lie.
                    drop(
                        connection
                            .serve_connection(TokioIo::new(stream), answer)
                            .await,
                    );
                });
            }
        });
        Self { endpoint, lies }
    }

    /// Requests that something went wrong with.
    pub(crate) fn lies(&self) -> usize {
        *self.lies.lock().unwrap()
    }
}

struct Behind {
    server: &'static Server,
    http: reqwest::Client,
    script: Mutex<Box<Script>>,
    lies: Arc<Mutex<usize>>,
}

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

impl Behind {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?;
        let path = head.uri.path_and_query().unwrap().as_str().to_owned();
        let asked = Asked {
            method: head.method.to_string(),
            path: path.clone(),
            has_condition: head.headers.contains_key("if-none-match"),
        };
        let lie = (self.script.lock().unwrap())(&asked);
        if lie.is_some() {
            *self.lies.lock().unwrap() += 1;
        }
        let gone = || Err(std::io::Error::other("a lie"));
        match lie {
            Some(Lie::Status(status)) => {
                let whole = Full::new(Bytes::from_static(b"<Error><Code>Lie</Code></Error>"));
                let body = whole.map_err(|never: Infallible| match never {}).boxed();
                return Ok(Response::builder().status(status).body(body).unwrap());
            }
            Some(Lie::Reset) => return gone(),
            Some(Lie::Slow) => tokio::time::sleep(Duration::from_millis(150)).await,
            Some(Lie::Silent) => std::future::pending().await,
            // With the condition goes the signature, so that it is put in the proxy's own name.
            Some(Lie::Unconditional) => {
                let key = path.trim_start_matches("/lake/");
                self.server.write(key, body.to_bytes()).await;
                let body = Full::new(Bytes::new());
                let body = body.map_err(|never: Infallible| match never {}).boxed();
                let answer = Response::builder().header("etag", "\"x\"");
                return Ok(answer.body(body).unwrap());
            }
            Some(Lie::AnswerLost | Lie::Torn) | None => {}
        }
        // The host stays the one that was asked: it is signed.
        let sent = self
            .http
            .request(head.method, format!("{}{path}", self.server.endpoint))
            .headers(head.headers)
            .body(body.to_bytes())
            .send();
        let got = sent.await.map_err(std::io::Error::other)?;
        if lie == Some(Lie::AnswerLost) {
            return gone();
        }
        let mut answer = Response::builder().status(got.status());
        for (name, value) in got.headers() {
            if name != "transfer-encoding" && name != "connection" {
                answer = answer.header(name, value);
            }
        }
        let mut bytes = got.bytes().await.map_err(std::io::Error::other)?;
        let mut frames = vec![];
        if lie == Some(Lie::Torn) {
            bytes.truncate(bytes.len() / 2);
            frames.push(Err(std::io::Error::other("a lie")));
        }
        frames.insert(0, Ok(Frame::data(bytes)));
        let body = StreamBody::new(futures::stream::iter(frames));
        Ok(answer.body(body.boxed()).unwrap())
    }
}
