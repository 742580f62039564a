//! How requests reach a store: the HTTP client of every kind of bucket and of its credentials.
//!
//! 1. Requests in the clear, and those to this machine, pass no proxy; others pass the
//!    environment's through a tunnel. Metadata services of instances are in the clear.
//! 2. Redirects are not followed: they would carry records and session tokens to another host.
//! 3. Certificates are always verified.

use std::pin::Pin;
use std::time::Duration;

use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpResponse, HttpService,
};
use object_store::{ClientOptions, Error, Result};
use url::Url;

use crate::config::proxy_rule;

const AGENT: &str = concat!("rollbook/", env!("CARGO_PKG_VERSION"));

/// Longest time for a connection to a store.
const CONNECT: Duration = Duration::from_secs(10);

/// Makes the clients of one store.
#[derive(Debug)]
pub(super) struct Transport {
    /// For one request, the body included.
    pub(super) timeout: Duration,
}

impl HttpConnector for Transport {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let said = |key| options.get_config_value(&key).unwrap_or_default();
        // Short for the services of an instance, which are there or not.
        let connect = humantime::parse_duration(&said(ClientConfigKey::ConnectTimeout));
        let connect = connect.map_or(CONNECT, |connect| connect.min(CONNECT));
        let client = || {
            reqwest::Client::builder()
                .user_agent(AGENT)
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .http1_only()
                // The length that the server tells is that of the object.
                .gzip(false)
                .timeout(self.timeout)
                .connect_timeout(connect.min(self.timeout))
        };
        let may_be_plain = said(ClientConfigKey::AllowHttp) == "true";
        Ok(HttpClient::new(Ways {
            direct: build(client().no_proxy().https_only(!may_be_plain))?,
            tunnelled: build(client().https_only(true))?,
        }))
    }
}

fn build(client: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    client.build().map_err(|error| Error::Generic {
        store: "HTTP client",
        source: error.into(),
    })
}

/// The two ways that a request may go.
#[derive(Debug)]
struct Ways {
    direct: reqwest::Client,
    /// Through the proxy of the environment, where there is one.
    tunnelled: reqwest::Client,
}

impl HttpService for Ways {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        match Url::parse(&request.uri().to_string()) {
            Ok(url) if proxy_rule::may_pass_a_proxy(&url) => self.tunnelled.call(request),
            Ok(_) => self.direct.call(request),
            // The client would end the process.
            Err(error) => Box::pin(std::future::ready(Err(HttpError::new(
                HttpErrorKind::Unknown,
                error,
            )))),
        }
    }
}
