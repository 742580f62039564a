//! What an answer that is no page means, and how long to wait before asking again.
//!
//! Pure: a status and an error code in, a [`Verdict`] out. The code is looked at first, since
//! the service answers its own errors with whatever status; the digits alone count, since the
//! prefix differs between sites.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::rate::Rate;

/// What to do about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Ask again after a while.
    Retry,
    /// Ask again after the longest while: the service is being upgraded.
    RetrySlowly,
    /// The quota is used up: nobody asks for a while.
    Throttled,
    /// The token is not accepted: log in once and ask again.
    Renew,
    /// This meeting cannot be had; others can.
    Meeting,
    /// Nothing can be had: wrong credentials, site or address.
    Run,
}

impl Verdict {
    /// Judges an HTTP status together with the error code of the body.
    pub fn of(status: u16, code: Option<&str>) -> Self {
        code.and_then(of_code).unwrap_or_else(|| of_status(status))
    }
}

fn of_code(code: &str) -> Option<Verdict> {
    let (service, number) = code.rsplit_once('.').unwrap_or(("", code));
    if service.eq_ignore_ascii_case("APIG") || service.eq_ignore_ascii_case("APIGW") {
        return match number {
            "0308" => Some(Verdict::Throttled),
            "0301" | "0307" => Some(Verdict::Renew),
            "0101" => Some(Verdict::Run),
            // The same code stands for a bad request and for a backend that is away.
            _ => None,
        };
    }
    let digits: u32 = number.parse().ok()?;
    Some(match digits {
        1..=3
        | 10
        | 200_000_001
        | 200_000_002
        | 111_070_003
        | 111_071_001
        | 111_071_002
        | 111_071_008
        | 111_072_049
        | 111_078_000
        | 111_078_001 => Verdict::Retry,
        8 | 200_000_005 => Verdict::RetrySlowly,
        4 | 200_000_004 | 206_020_000..=206_020_002 | 118_000_000 | 118_000_001 | 111_070_004 => {
            Verdict::Renew
        }
        206_010_000 | 206_010_007 | 206_010_025 | 206_010_030 | 206_010_031 | 206_010_057
        | 206_010_058 | 206_010_064 | 206_010_074 | 206_030_000 | 206_030_015 | 201_040_000
        | 118_000_002 | 111_070_111 => Verdict::Run,
        111_070_001 | 111_070_002 | 111_070_005 | 111_070_010 | 111_071_061 | 111_071_062
        | 112_010_004 | 115_021_002 | 200_000_003 | 206_060_011 => Verdict::Meeting,
        _ => return None,
    })
}

/// Whether the code says that there is no such meeting, or none any more.
pub(crate) fn is_no_meeting(code: &str) -> bool {
    let (_, number) = code.rsplit_once('.').unwrap_or(("", code));
    matches!(number, "111070005" | "112010004" | "115021002")
}

fn of_status(status: u16) -> Verdict {
    match status {
        401 => Verdict::Renew,
        429 => Verdict::Throttled,
        // An answer that claims success and is no page is a fault in passing: a portal, a proxy.
        200..=299 | 408 | 500 | 502..=504 | 506..=599 => Verdict::Retry,
        _ => Verdict::Meeting,
    }
}

/// The error object of the service or its gateway, in any of the forms seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// `MMC.111070005`, `APIG.0308`.
    pub code: Option<String>,
    /// A sentence or a symbolic constant.
    pub message: Option<String>,
    /// The server's name for the request.
    pub request_id: Option<String>,
}

impl ErrorBody {
    /// Reads the error object of a body; anything else is an error without code or message.
    pub fn parse(body: &[u8]) -> Self {
        // Members beside each other rather than aliases, so that an object with two forms at
        // once is still read. A code may be a bare number.
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Raw {
            error_code: Option<serde_json::Value>,
            error_msg: Option<String>,
            #[serde(rename = "errorCode")]
            camel_code: Option<serde_json::Value>,
            #[serde(rename = "errorMsg")]
            camel_message: Option<String>,
            code: Option<serde_json::Value>,
            message: Option<String>,
            #[serde(rename = "returnCode")]
            return_code: Option<serde_json::Value>,
            #[serde(rename = "returnDesc")]
            return_message: Option<String>,
            request_id: Option<String>,
        }
        let Ok(raw) = serde_json::from_slice::<Raw>(body) else {
            return Self::default();
        };
        Self {
            code: raw
                .error_code
                .or(raw.camel_code)
                .or(raw.code)
                .or(raw.return_code)
                .and_then(|code| match code {
                    serde_json::Value::String(code) => Some(code),
                    serde_json::Value::Number(code) => Some(code.to_string()),
                    _ => None,
                }),
            message: raw
                .error_msg
                .or(raw.camel_message)
                .or(raw.message)
                .or(raw.return_message),
            request_id: raw.request_id,
        }
    }

    /// The quota that the gateway's text tells: `limit:5,time:1 minute`.
    pub fn quota(&self) -> Option<Rate> {
        let (_, text) = self.message.as_deref()?.split_once("limit:")?;
        let (limit, text) = text.split_once(",time:")?;
        let mut words = text.split_whitespace();
        let times: u32 = words.next()?.parse().ok()?;
        let unit = words
            .next()?
            .trim_end_matches(|c: char| !c.is_ascii_alphabetic());
        let seconds = match unit.trim_end_matches('s') {
            "second" => 1,
            "minute" => 60,
            "hour" => 3600,
            "day" => 86_400,
            _ => return None,
        };
        let window = Duration::from_secs(seconds).checked_mul(times)?;
        let requests = limit.trim().parse().ok()?;
        (!window.is_zero()).then_some(Rate::Limited { requests, window })
    }
}

/// The wait that a `Retry-After` header asks for: seconds, or an HTTP date.
pub(crate) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// How often and how long a request is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Attempts after the first.
    pub retries: u32,
    /// Before the second attempt; doubles with each.
    pub first_delay: Duration,
    /// The longest wait between two attempts; up to as much again is added by chance.
    pub longest_delay: Duration,
    /// The longest time between attempts, all waits for one page together.
    pub longest_wait: Duration,
    /// The longest that the server may ask to wait; beyond it the run ends and says so.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retries: 8,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(30),
            longest_wait: Duration::from_secs(600),
            longest_pause: Duration::from_secs(3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_table_of_what_is_done_about_which_answer() {
        let statuses = [
            200, 204, 302, 400, 401, 403, 404, 408, 409, 412, 413, 423, 429, 500, 501, 502, 503,
            504, 505, 520,
        ];
        let codes = [
            "000000001",
            "MMC.000000004",
            "MMC.000000008",
            "USG.000000010",
            "USG.200000001",
            "USG.200000002",
            "USG.200000003",
            "USG.200000004",
            "USG.200000005",
            "USG.201040000",
            "USG.206010000",
            "USG.206010025",
            "USG.206010057",
            "USG.206010064",
            "USG.206020000",
            "USG.206020001",
            "USG.206020002",
            "USG.206030015",
            "MMC.111070001",
            "MMC.111070002",
            "MMC.111070003",
            "MMC.111070004",
            "MMC.111070005",
            "MMC.111070010",
            "MMC.111070111",
            "MMC.111071001",
            "MMC.111071008",
            "MMC.111072049",
            "MMC.111078000",
            "MMC.112010004",
            "MMC.115021002",
            "MMC.118000000",
            "MMC.118000002",
            "APIG.0101",
            "APIG.0301",
            "APIG.0307",
            "APIG.0308",
            "APIGW.0308",
            "APIGW.0301",
        ];
        let mut table = String::new();
        for status in statuses {
            writeln!(table, "{status:<16}{:?}", Verdict::of(status, None)).unwrap();
        }
        // A known code decides whatever the status.
        for code in codes {
            let verdict = Verdict::of(400, Some(code));
            assert_eq!(verdict, Verdict::of(200, Some(code)), "{code}");
            writeln!(table, "{code:<16}{verdict:?}").unwrap();
        }
        for (status, code) in [
            (400, "APIG.0201"),
            (502, "APIG.0201"),
            (504, "APIG.0203"),
            (500, "APIG.0103"),
            (400, "MMC.999999999"),
            (503, "MMC.999999999"),
        ] {
            writeln!(
                table,
                "{status} {code:<14}{:?}",
                Verdict::of(status, Some(code))
            )
            .unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn the_error_object_is_read_in_each_of_its_forms() {
        for body in [
            r#"{"error_code":"A.1","error_msg":"m","request_id":"r"}"#,
            r#"{"errorCode":"A.1","errorMsg":"m","request_id":"r","error_code":null}"#,
            r#"{"code":"A.1","message":"m","request_id":"r"}"#,
            r#"{"returnCode":"A.1","returnDesc":"m","request_id":"r"}"#,
        ] {
            let error = ErrorBody::parse(body.as_bytes());
            assert_eq!(error.code.as_deref(), Some("A.1"), "{body}");
            assert_eq!(error.message.as_deref(), Some("m"));
            assert_eq!(error.request_id.as_deref(), Some("r"));
        }
        let bare = ErrorBody::parse(br#"{"code":200000001}"#);
        assert_eq!(Verdict::of(500, bare.code.as_deref()), Verdict::Retry);
        for body in ["", "<html>", "[]", "5", r#"{"error_code":[]}"#] {
            assert_eq!(
                ErrorBody::parse(body.as_bytes()),
                ErrorBody::default(),
                "{body}"
            );
        }
    }

    #[test]
    fn the_captured_gateway_answer_tells_its_quota() {
        let body = include_bytes!("../tests/it/fixtures/throttled-429.json");
        let error = ErrorBody::parse(body);
        assert_eq!(error.quota(), Some(Rate::per_minute(5)));
        assert_eq!(Verdict::of(429, error.code.as_deref()), Verdict::Throttled);
        let text = |message: &str| ErrorBody {
            message: Some(message.into()),
            ..ErrorBody::default()
        };
        assert_eq!(
            text("limit:100,time:2 seconds")
                .quota()
                .unwrap()
                .to_string(),
            "100/2s"
        );
        for odd in [
            "",
            "limit:0,time:1 minute",
            "limit:5,time:0 second",
            "limit:5,time:1 fortnight",
        ] {
            assert_eq!(text(odd).quota(), None, "{odd}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        let date = "Sun, 06 Nov 1994 08:49:47 GMT";
        assert_eq!(retry_after(date, now), Some(Duration::from_secs(10)));
        assert_eq!(
            retry_after(date, now + Duration::from_secs(60)),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
    }
}
