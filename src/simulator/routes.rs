//! The API itself: from a request to its answer, without a connection.
//!
//! The order is that of the real thing: the gateway counts the request against the quota, then
//! scripted faults have their say, then the token is checked, and at last the service answers.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Instant;

use hyper::Version;
use hyper::http::request::Parts;
use serde_json::Value;

use super::active_faults::{Faults, Struck};
use super::auth::{Auth, Caller};
use super::effect::{Effect, Throttled};
use super::fault_match::{Asked, Endpoint};
use super::faulty_page::Listed;
use super::history::History;
use super::meetings::{Ask, World};
use super::options::{Options, OverLimit, PastEnd};
use super::quota::Windows;
use super::record::mix;
use super::reply::{Reply, Travel};
use super::request::{Call, Query, endpoint, header};
use super::request_log::{Counters, Seen};
use super::{history, page};

/// Everything behind the connections.
pub(super) struct Api {
    pub(super) options: Options,
    pub(super) world: World,
    pub(super) auth: Auth,
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    windows: Option<Windows>,
    started: Instant,
    answered: AtomicU64,
    /// By this clock the history list has its meetings, in milliseconds since 1970.
    pub(super) now: AtomicI64,
}

impl Api {
    pub(super) fn new(options: Options) -> Self {
        let faults = Faults::default();
        options.faults.iter().cloned().for_each(|f| faults.add(f));
        Self {
            world: World::new(&options),
            auth: Auth::new(&options.credentials, options.seed),
            faults,
            counters: Counters::default(),
            windows: options.quota.map(Windows::new),
            started: Instant::now(),
            answered: AtomicU64::new(0),
            now: AtomicI64::new(i64::MAX),
            options,
        }
    }

    /// Answers one request.
    pub(super) fn answer(&self, parts: &Parts, body: &[u8]) -> Reply {
        let now = Instant::now();
        let number = self.answered.fetch_add(1, Ordering::Relaxed);
        let seed = self.options.seed;
        let mut call = Call {
            parts,
            body,
            query: Query::new(parts),
            endpoint: endpoint(parts),
            struck: Vec::new(),
            request_id: format!("{:016x}{:016x}", mix(seed, number), mix(!seed, number)),
        };
        let authorized = self.options.log && self.auth.check(call.token()).is_ok();
        let (mut reply, remain) = match self.take(call.endpoint, now, &call.request_id) {
            Ok(remain) => {
                call.struck = self.strike(&call);
                (self.befall(&call), remain)
            }
            Err(reply) => (reply, Some(0)),
        };
        if let Some(remain) = remain
            && let Some(windows) = &self.windows
            && windows.quota().headers
        {
            let limit = windows.quota().requests;
            let value = format!("remain:{remain},limit:{limit},time:{}", windows.wording());
            let name = "X-Apig-Ratelimit-Api".to_owned();
            reply.headers.push((name, value));
        }
        if self.options.log {
            let entry = self.seen(&call, &reply, now, authorized);
            self.counters.log.lock().push(entry);
        }
        let name = "X-Request-Id".to_owned();
        reply.headers.push((name, call.request_id));
        let is_date = |(name, _): &(String, String)| name.eq_ignore_ascii_case("date");
        if self.auth.has_own_clock() && !reply.headers.iter().any(is_date) {
            let date = httpdate::fmt_http_date(self.auth.now());
            reply.headers.push(("Date".to_owned(), date));
        }
        reply
    }

    fn seen(&self, call: &Call<'_>, reply: &Reply, now: Instant, authorized: bool) -> Seen {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let is_list = matches!(call.endpoint, Endpoint::Records | Endpoint::History);
        Seen {
            at: now.saturating_duration_since(self.started),
            endpoint: call.endpoint,
            method: call.parts.method.to_string(),
            path: call.parts.uri.path().to_owned(),
            meeting: owned(call.query.text("confUUID")),
            offset: call.query.offset().ok().filter(|_| is_list),
            limit: call.query.text("limit").and_then(|text| text.parse().ok()),
            search_key: owned(call.query.text("searchKey")),
            status: (!matches!(reply.travel, Travel::Hang | Travel::Reset)).then_some(reply.status),
            accept_language: owned(header(&call.parts.headers, "accept-language")),
            accept_encoding: owned(header(&call.parts.headers, "accept-encoding")),
            http2: call.parts.version == Version::HTTP_2,
            authorized,
            has_token: call.token().is_some(),
            faulty: !call.struck.is_empty(),
            request_id: call.request_id.clone(),
        }
    }

    /// Counts the request against the quota of its API.
    fn take(&self, endpoint: Endpoint, now: Instant, id: &str) -> Result<Option<u32>, Reply> {
        let Some(windows) = &self.windows else {
            return Ok(None);
        };
        if !matches!(endpoint, Endpoint::Records | Endpoint::History) {
            return Ok(None);
        }
        windows.take(endpoint, now).map(Some).map_err(|wait| {
            let quota = windows.quota();
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            let throttled = Throttled {
                limit: quota.requests,
                per: windows.wording(),
                retry_after: quota
                    .retry_after
                    .then(|| u64::try_from(seconds).unwrap_or(u64::MAX)),
                ..Throttled::default()
            };
            Reply::throttled(&throttled, id)
        })
    }

    fn strike(&self, call: &Call<'_>) -> Vec<Struck> {
        let meeting = call
            .query
            .text("confUUID")
            .and_then(|uuid| self.world.find(uuid));
        let is_list = matches!(call.endpoint, Endpoint::Records | Endpoint::History);
        self.faults.strike(&Asked {
            endpoint: call.endpoint,
            meeting: meeting.map(|(index, meeting)| (index, &meeting.uuid)),
            offset: call.query.offset().ok().filter(|_| is_list),
        })
    }

    /// The answer with all that befalls it.
    fn befall(&self, call: &Call<'_>) -> Reply {
        for strike in &call.struck {
            match strike.effect() {
                Effect::ExpireTokens(refusal) => self.auth.expire_all(*refusal),
                Effect::Drift(drift) => {
                    let uuid = call.query.text("confUUID").unwrap_or_default();
                    if let Some((_, meeting)) = self.world.find(uuid) {
                        meeting.drift(*drift);
                    }
                }
                _ => {}
            }
        }
        let scripted = call
            .struck
            .iter()
            .find_map(|strike| whole_answer(strike.effect(), &call.request_id));
        let mut reply = scripted.unwrap_or_else(|| self.serve(call).unwrap_or_else(|error| error));
        for strike in &call.struck {
            match strike.effect() {
                Effect::ResetAfter(bytes) => reply.travel = Travel::ResetAfter(*bytes),
                Effect::Truncate(bytes) => reply.travel = Travel::Truncate(*bytes),
                Effect::Drip(drip) => {
                    reply.travel = Travel::Drip {
                        bytes: drip.bytes.max(1),
                        pause: drip.pause,
                    }
                }
                Effect::Pad(bytes) => reply.travel = Travel::Pad(*bytes),
                Effect::Delay(delay) => reply.delay += *delay,
                Effect::Headers(headers) => {
                    let headers = headers.iter();
                    let owned = headers.map(|(name, value)| (name.clone(), value.clone()));
                    reply.headers.extend(owned);
                }
                _ => {}
            }
        }
        reply
    }

    fn serve(&self, call: &Call<'_>) -> Result<Reply, Reply> {
        let object = |value: Value| Reply::json(200, value.to_string());
        match call.endpoint {
            Endpoint::Records => {
                self.auth.check(call.token())?;
                self.records(call)
            }
            Endpoint::History => {
                let caller = self.auth.check(call.token())?;
                self.history(call, &caller)
            }
            Endpoint::Login => {
                let authorization = header(&call.parts.headers, "authorization");
                self.auth.login(authorization, call.body).map(object)
            }
            Endpoint::Account => {
                let authorization = header(&call.parts.headers, "authorization");
                self.auth
                    .account_login(authorization, call.body)
                    .map(object)
            }
            Endpoint::Refresh => self.auth.refresh(call.token()).map(object),
            Endpoint::Logout => self
                .auth
                .logout(call.token())
                .map(|()| Reply::json(200, "")),
            Endpoint::Validate => self.auth.validate(call.body).map(object),
            Endpoint::Any => Err(Reply::of_status(404, &call.request_id)),
        }
    }

    fn limit(&self, query: &Query<'_>) -> Result<u64, Reply> {
        let wrong = || Reply::bad_parameter("limit");
        let limit = u64::try_from(query.integer("limit", 20)?).map_err(|_| wrong())?;
        let most = u64::from(self.options.max_limit);
        match self.options.over_limit {
            _ if limit == 0 => Err(wrong()),
            OverLimit::Reject if limit > most => Err(wrong()),
            _ => Ok(limit.min(most)),
        }
    }

    fn records(&self, call: &Call<'_>) -> Result<Reply, Reply> {
        let query = &call.query;
        let uuid = query.text("confUUID").filter(|uuid| !uuid.is_empty());
        let uuid = uuid.ok_or_else(|| Reply::bad_parameter("confUUID"))?;
        let (offset, limit) = (query.offset()?, self.limit(query)?);
        let (index, meeting) = self
            .world
            .find(uuid)
            .ok_or_else(|| Reply::error(400, "MMC.111070005", "CONF_DATA_NOT_FOUND"))?;
        let key = query.text("searchKey").filter(|key| !key.is_empty());
        self.counters.pages.fetch_add(1, Ordering::Relaxed);
        let language = call.language();
        let is_true = key.is_none()
            && !call.is_page_altered()
            && !self.options.pretty
            && self.options.past_end == PastEnd::Empty;
        if is_true {
            let ask = Ask {
                offset,
                limit,
                language,
            };
            return Ok(Reply::json(200, self.world.page(index, ask)));
        }
        let list = Listed::new(meeting, key, language);
        let body = page::write(&list, self.request(offset, limit), &call.struck);
        Ok(Reply::json(200, body))
    }

    fn history(&self, call: &Call<'_>, caller: &Caller) -> Result<Reply, Reply> {
        let query = &call.query;
        let instant = |name: &str| {
            let text = query.text(name).and_then(|text| text.parse::<i64>().ok());
            text.ok_or_else(|| Reply::bad_parameter(name))
        };
        let (first, last) = (instant("startDate")?, instant("endDate")?);
        let (offset, limit) = (query.offset()?, self.limit(query)?);
        let is_descending = match query.text("sortType") {
            None | Some("" | "ASC_StartTIME" | "ASC_RecordTYPE" | "DSC_RecordTYPE") => false,
            Some("DSC_StartTIME") => true,
            Some(_) => return Err(Reply::bad_parameter("sortType")),
        };
        let is_all = query.text("queryAll") == Some("true") && caller.is_administrator();
        let key = query.text("searchKey").unwrap_or_default();
        let now = self.now.load(Ordering::Relaxed);
        let mut meetings: Vec<_> = self
            .world
            .meetings()
            .iter()
            .filter(|meeting| (first..=last).contains(&meeting.origin.start))
            .filter(|meeting| meeting.listed_from <= now)
            .filter(|meeting| !meeting.is_unlisted.load(Ordering::Relaxed))
            .filter(|meeting| is_all || !meeting.foreign)
            .filter(|meeting| key.is_empty() || history::is_found(meeting, key))
            .collect();
        if is_descending {
            meetings.reverse();
        }
        let found = History(meetings);
        let body = page::write(&found, self.request(offset, limit), &call.struck);
        Ok(Reply::json(200, body))
    }

    fn request(&self, offset: u64, limit: u64) -> page::Request {
        page::Request {
            offset,
            limit,
            past_end: self.options.past_end,
            pretty: self.options.pretty,
            seed: self.options.seed,
        }
    }
}

/// The answer that an effect puts in place of the service's, if it does.
fn whole_answer(effect: &Effect, request_id: &str) -> Option<Reply> {
    let silent = |travel| Reply {
        travel,
        ..Reply::json(200, "")
    };
    Some(match effect {
        Effect::Status(status) => Reply::of_status(*status, request_id),
        Effect::Error(error) => Reply::error(error.status, &error.code, &error.message),
        Effect::Answer(answer) => Reply::scripted(answer),
        Effect::Throttled(throttled) => Reply::throttled(throttled, request_id),
        Effect::Redirect(to) => Reply::redirect(to),
        Effect::Bytes(bytes) => Reply::json(200, bytes.clone()),
        Effect::Nested(levels) => Reply::nested(*levels),
        Effect::GzipBomb(bytes) => Reply::gzip_bomb(*bytes),
        Effect::Hang => silent(Travel::Hang),
        Effect::Reset => silent(Travel::Reset),
        _ => return None,
    })
}
