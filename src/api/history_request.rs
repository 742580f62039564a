//! Pages of the history list. They are asked for anew by each run: what a list says of a day is
//! true for a moment, so that the spool has no place for it.

use std::sync::atomic::Ordering;

use reqwest::RequestBuilder;

use super::client::{Client, Question};
use super::error_code::ErrorBody;
use super::failure::Failure;
use super::known::Known;
use super::outage::Subject;
use super::response::Answer;
use crate::error::Result;
use crate::record::decode::HistoryPage;
use crate::report::Event;
use crate::values::Span;

/// The code for "no meeting in this time".
pub(super) const NO_MEETING: &str = "111071069";

/// One page of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    /// When its meetings began.
    pub(crate) span: Span,
    /// Of all users of the enterprise, or of the one who asks.
    pub(crate) query_all: bool,
    pub(crate) offset: u64,
    pub(crate) limit: u64,
}

impl Client {
    /// Asks for one page of the list until it comes or there is no point in asking again; tells
    /// the server's id of the request, too.
    pub(crate) async fn history(
        &self,
        listing: Listing,
    ) -> Result<(HistoryPage, Option<String>), Failure> {
        if let Some(listed) = self.ahead.take(listing) {
            return listed;
        }
        let question = History {
            client: self,
            listing,
        };
        self.patiently(
            || async { Ok(self.ask(&question).await?.0) },
            |failure, delay| {
                (self.observer)(Event::ListingAgain {
                    day: listing.span.since,
                    delay: delay.max(self.throttle.silence()),
                    is_throttled: failure.is_throttled(),
                    cause: failure.to_string(),
                });
            },
        )
        .await
    }
}

impl Listing {
    /// What is sent, but for the token.
    pub(super) fn request(self, client: &Client) -> RequestBuilder {
        let span = self.span;
        let request = client
            .http
            .get(client.history.clone())
            // The end is the last millisecond of the window.
            .query(&[
                ("startDate", span.since.timestamp_millis()),
                ("endDate", span.until.timestamp_millis() - 1),
            ])
            .query(&[("offset", self.offset), ("limit", self.limit)])
            .query(&[("sortType", "ASC_StartTIME")]);
        if self.query_all {
            request.query(&[("queryAll", "true")])
        } else {
            request
        }
    }
}

/// A question for a page of the list.
pub(super) struct History<'a> {
    pub(super) client: &'a Client,
    pub(super) listing: Listing,
}

impl Question for History<'_> {
    type Answer = (HistoryPage, Option<String>);

    fn request(&self) -> RequestBuilder {
        self.listing.request(self.client)
    }

    fn count(&self) {
        self.client.tally.listed.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self, answer: &Answer) -> Result<Self::Answer, Failure> {
        let offset = self.listing.offset;
        let code = || ErrorBody::parse(&answer.body).code;
        if code().is_some_and(|code| code.ends_with(NO_MEETING)) {
            self.client.hear(answer);
            return Ok((HistoryPage::empty(offset), answer.request_id()));
        }
        if !answer.is_success() {
            return Err(self.client.judge(answer));
        }
        let page = HistoryPage::decode(&answer.body)
            .map_err(|error| self.client.judge_page(answer, &error))?;
        self.client.hear(answer);
        Ok((page, answer.request_id()))
    }

    fn subject(&self) -> Subject {
        Subject::Day(self.listing.span.since)
    }

    fn contradiction(&self, _answer: &Self::Answer) -> Option<String> {
        None
    }

    fn succeeded(&self) {
        let known = || Known::Day(self.listing);
        self.client.known_day.get_or_init(known);
    }

    fn known(&self) -> Option<&Known> {
        self.client.known_day.get()
    }
}
