//! Questions that were answered once: asked again, they show whether a failure concerns all requests.

use std::sync::atomic::AtomicU64;

use super::client::{Client, Question as _, Wanted};
use super::failure::Failure;
use super::history_request::{History, Listing};
use super::records_request::Records;
use crate::error::FailureKind;
use crate::values::ConfUuid;

/// A question that was answered once.
#[derive(Clone, Debug)]
pub(super) enum Known {
    Meeting(ConfUuid),
    Day(Listing),
}

impl Known {
    /// Asks for as little of it as can be asked for.
    pub(super) async fn ask(&self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::Meeting(meeting) => {
                let wanted = Wanted {
                    meeting,
                    walk: 0,
                    offset: 0,
                    limit: 1,
                    sent: &AtomicU64::new(0),
                };
                let records = Records { client, wanted };
                let answer = client.send(&records, None).await?.1?;
                records.contradiction(&answer).map_or(Ok(()), |cause| {
                    Err(Failure::transient(FailureKind::Drift, cause))
                })
            }
            Self::Day(listing) => {
                let listing = Listing {
                    offset: 0,
                    limit: 1,
                    ..*listing
                };
                let history = History { client, listing };
                client.send(&history, None).await?.1.map(drop)
            }
        }
    }
}
