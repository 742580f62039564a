//! Connections: accepting them, TLS, HTTP, and the pace of the answers.

use std::future::pending;
use std::io;
use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::body::Body;
use super::connection::Line;
use super::reply::{Reply, Travel};
use super::routes::Api;

/// No request of this API has a larger body.
const REQUEST_BYTES: usize = 64 << 10;

/// Serves until told to stop; then every connection is dropped.
pub(super) async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    api: Arc<Api>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        // A connection that died before it was accepted is no reason to stop.
        let Ok((stream, _)) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        connections.spawn(connect(stream, tls.clone(), Arc::clone(&api)));
    }
}

async fn connect(stream: TcpStream, tls: Option<TlsAcceptor>, api: Arc<Api>) {
    let _open = api.counters.connect();
    // Without it answers are merely slower.
    let _ = stream.set_nodelay(true);
    let line = Arc::new(Line::new(&stream));
    let conversation = async {
        match tls {
            None => converse(stream, &api, &line).await,
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    api.counters
                        .shake_hands(stream.get_ref().1.handshake_kind());
                    converse(stream, &api, &line).await;
                }
            }
        }
    };
    tokio::select! {
        () = conversation => {}
        () = line.is_cut() => {}
    }
    line.release();
}

async fn converse<S>(stream: S, api: &Arc<Api>, line: &Arc<Line>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (api, line) = (Arc::clone(api), Arc::clone(line));
        async move { respond(request, &api, &line).await }
    });
    let mut http = Builder::new(TokioExecutor::new());
    if let Some(longest) = api.options.keep_alive {
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(longest);
    }
    // How a conversation ends is the client's business.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(
    request: Request<Incoming>,
    api: &Api,
    line: &Arc<Line>,
) -> Result<Response<Body>, io::Error> {
    let _in_flight = api.counters.arrive();
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, REQUEST_BYTES)
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let reply = api.answer(&parts, &body);
    let delay = api.options.latency + reply.delay;
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match reply.travel {
        Travel::Hang => pending().await,
        Travel::Reset => {
            line.reset();
            pending().await
        }
        _ => Ok(response(reply, line)),
    }
}

fn response(reply: Reply, line: &Arc<Line>) -> Response<Body> {
    let mut response = Response::new(Body::new(reply.body, reply.travel, line));
    // A scripted status or header that HTTP has no room for is left out.
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    for (name, value) in reply.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}
