//! Pages of a meeting's records: how one is asked for, and what is taken from its answer.

use std::sync::atomic::Ordering;

use chrono::Utc;
use reqwest::header::ACCEPT_LANGUAGE;

use super::client::{Client, Question, Wanted};
use super::failure::Failure;
use super::fetched_page::Fetched;
use super::known::Known;
use super::outage::Subject;
use super::page_mismatch::check_page;
use super::response::Answer;
use crate::error::Result;
use crate::record::TimeRange;

/// A question for a page of a meeting's records.
pub(super) struct Records<'a> {
    pub(super) client: &'a Client,
    pub(super) wanted: Wanted<'a>,
}

impl Question for Records<'_> {
    type Answer = Fetched;

    fn request(&self) -> reqwest::RequestBuilder {
        let Self { client, wanted } = self;
        let request = client
            .http
            .get(client.records.clone())
            .query(&[("confUUID", wanted.meeting.as_str())])
            .query(&[("offset", wanted.offset), ("limit", wanted.limit)])
            .header(ACCEPT_LANGUAGE, client.language.clone());
        match &client.search_key {
            Some(key) => request.query(&[("searchKey", key.as_str())]),
            None => request,
        }
    }

    fn count(&self) {
        self.client.tally.sent.fetch_add(1, Ordering::Relaxed);
        self.wanted.sent.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self, answer: &Answer) -> Result<Fetched, Failure> {
        if !answer.is_success() {
            return Err(self.client.judge(answer));
        }
        let Self { client, wanted } = self;
        let times = TimeRange::of_answer(client.clock.at(&answer.headers));
        let page = client
            .decoder
            .decode(&answer.body, wanted.meeting, wanted.offset, times)
            .map_err(|error| client.judge_page(answer, &error))?;
        client.hear(answer);
        Ok(Fetched {
            page,
            at: Utc::now(),
            request_id: answer.request_id(),
        })
    }

    fn subject(&self) -> Subject {
        Subject::Meeting(self.wanted.meeting.clone())
    }

    fn contradiction(&self, answer: &Fetched) -> Option<String> {
        let Wanted { offset, limit, .. } = self.wanted;
        let mismatch = check_page(offset, limit, &answer.page).err()?;
        Some(mismatch.to_string())
    }

    fn succeeded(&self) {
        let known = || Known::Meeting(self.wanted.meeting.clone());
        self.client.known_meeting.get_or_init(known);
    }

    fn known(&self) -> Option<&Known> {
        self.client.known_meeting.get()
    }
}
