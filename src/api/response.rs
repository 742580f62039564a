//! An answer to a request, read whole and not further than a cap.

use reqwest::header::HeaderMap;
use serde::de::IgnoredAny;

use super::error_code::ErrorBody;
use super::failure::{Failure, LONGEST_ID};
use crate::error::FailureKind;
use crate::record::buffer_capacity;

/// Longest error body that is read.
const ERROR_BODY: u64 = 64 * 1024;

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Sends a request and reads its answer, up to a cap.
    pub(super) async fn to(
        request: reqwest::RequestBuilder,
        max_body: u64,
    ) -> Result<Self, Failure> {
        let mut response = request.send().await.map_err(Failure::transport)?;
        let mut answer = Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: vec![],
        };
        let cap = if answer.is_success() {
            max_body
        } else {
            max_body.min(ERROR_BODY)
        };
        let announced = response.content_length().unwrap_or(0).min(cap);
        let announced = usize::try_from(announced).unwrap_or(0);
        answer.body.reserve_exact(buffer_capacity(announced));
        loop {
            let chunk = response.chunk().await.map_err(|error| {
                // Cut off, but its head had come.
                Failure::transport(error).with_request_id(answer.request_id())
            })?;
            let Some(chunk) = chunk else {
                break;
            };
            if answer.body.len() as u64 + chunk.len() as u64 > cap {
                if answer.is_success() {
                    let cause = format!("the answer is larger than {}", bytesize::ByteSize(cap));
                    return Err(Failure::meeting(FailureKind::TooLarge, cause)
                        .with_request_id(answer.request_id()));
                }
                break;
            }
            let (length, reserved) = (answer.body.len() + chunk.len(), answer.body.capacity());
            if length > reserved {
                // Compressed, or in pieces: the length was not announced.
                let capacity = buffer_capacity(length.max(2 * reserved));
                answer.body.reserve_exact(capacity - answer.body.len());
            }
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether a refusal is none of the service or its gateway, whose errors have codes: a portal, a
    /// proxy or another site answers all requests so. The service documents 400, 401 and 403: these
    /// are its own, unless their body is no JSON.
    pub(super) fn is_of_another_server(&self) -> bool {
        let has_text = || serde_json::from_slice::<IgnoredAny>(&self.body).is_err();
        let is_foreign = match self.status {
            401 | 408 | 429 => false,
            400 | 403 => !self.body.is_empty() && has_text(),
            status => (300..500).contains(&status),
        };
        is_foreign && ErrorBody::parse(&self.body).code.is_none()
    }

    pub(super) fn request_id(&self) -> Option<String> {
        let id = self.headers.get("X-Request-Id")?.to_str().ok()?;
        Some(id.chars().take(LONGEST_ID).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_code_is_of_another_server_unless_the_service_documents_it() {
        let is_foreign = |status, body: &str| {
            let answer = Answer {
                status,
                headers: HeaderMap::new(),
                body: body.into(),
            };
            answer.is_of_another_server()
        };
        for (status, body) in [
            (302, ""),
            (308, "{}"),
            (404, ""),
            (405, ""),
            (400, "<html>"),
            (403, "<html>"),
            (404, r#"{"message":"no route"}"#),
        ] {
            assert!(is_foreign(status, body), "{status} {body}");
        }
        for (status, body) in [
            (200, "<html>"),
            (400, ""),
            (401, "<html>"),
            (403, ""),
            (403, r#"{"message":"no"}"#),
            (404, r#"{"error_code":"APIG.0101"}"#),
            (429, "<html>"),
            (502, "<html>"),
        ] {
            assert!(!is_foreign(status, body), "{status} {body}");
        }
    }
}
