//! One request, read: which part of the API it asks, for what, and which faults befall it.

use std::borrow::Cow;

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

use super::active_faults::Struck;
use super::fault_match::Endpoint;
use super::page;
use super::reply::Reply;
use crate::record::Language;

const RECORDS: &str = "/v1/mmc/management/conferences/history/confAttendeeRecord";
const HISTORY: &str = "/v1/mmc/management/conferences/history";
const LOGIN: &str = "/v2/usg/acs/auth/appauth";
const ACCOUNT: &str = "/v1/usg/acs/auth/account";
const TOKEN: &str = "/v1/usg/acs/token";
const VALIDATE: &str = "/v1/usg/acs/token/validate";

/// The parameters of a query, decoded.
pub(super) struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub(super) fn new(parts: &'a Parts) -> Self {
        let text = parts.uri.query().unwrap_or_default();
        Self(url::form_urlencoded::parse(text.as_bytes()).collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(is, _)| is == name);
        found.map(|(_, value)| &**value)
    }

    pub(super) fn integer(&self, name: &str, default: i64) -> Result<i64, Reply> {
        let Some(text) = self.text(name).filter(|text| !text.is_empty()) else {
            return Ok(default);
        };
        text.parse().map_err(|_| Reply::bad_parameter(name))
    }

    /// A negative offset counts as 0.
    pub(super) fn offset(&self) -> Result<u64, Reply> {
        Ok(u64::try_from(self.integer("offset", 0)?).unwrap_or(0))
    }
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

pub(super) fn endpoint(parts: &Parts) -> Endpoint {
    match (&parts.method, parts.uri.path()) {
        (&Method::GET, RECORDS) => Endpoint::Records,
        (&Method::GET, HISTORY) => Endpoint::History,
        (&Method::POST, LOGIN) => Endpoint::Login,
        (&Method::POST, ACCOUNT) => Endpoint::Account,
        (&Method::PUT, TOKEN) => Endpoint::Refresh,
        (&Method::DELETE, TOKEN) => Endpoint::Logout,
        (&Method::POST, VALIDATE) => Endpoint::Validate,
        _ => Endpoint::Any,
    }
}

/// A request and what is known of it already.
pub(super) struct Call<'a> {
    pub(super) parts: &'a Parts,
    pub(super) body: &'a [u8],
    pub(super) query: Query<'a>,
    pub(super) endpoint: Endpoint,
    pub(super) struck: Vec<Struck>,
    pub(super) request_id: String,
}

impl Call<'_> {
    pub(super) fn token(&self) -> Option<&str> {
        header(&self.parts.headers, "x-access-token")
    }

    pub(super) fn language(&self) -> Language {
        let asked = header(&self.parts.headers, "accept-language").unwrap_or_default();
        if asked.trim_start().starts_with("en") {
            Language::EnUs
        } else {
            Language::ZhCn
        }
    }

    pub(super) fn is_page_altered(&self) -> bool {
        self.struck
            .iter()
            .any(|strike| page::is_of_page(strike.effect()))
    }
}
