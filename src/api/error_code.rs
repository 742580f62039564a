//! What an answer that is no page means, and how long to wait before asking again.
//!
//! Pure: a status and an error code in, a [`Verdict`] out. The code is looked at first, since
//! the service answers its own errors with whatever status; the digits alone count, since the
//! prefix differs between sites.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::record::decode::{is_success, is_zero};
use crate::values::Rate;

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

/// Whether an answer says that the user lacks a permission.
pub(crate) fn is_forbidden(status: Option<u16>, code: Option<&str>) -> bool {
    let number = code.map(|code| code.rsplit_once('.').map_or(code, |(_, number)| number));
    match number {
        Some("111070002" | "111070010") => true,
        _ => status == Some(403),
    }
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
        let codes = [raw.error_code, raw.camel_code, raw.code, raw.return_code];
        let codes = codes.into_iter().flatten().filter_map(|code| match code {
            serde_json::Value::String(code) => Some(code),
            serde_json::Value::Number(code) if !is_zero(&code) => Some(code.to_string()),
            _ => None,
        });
        Self {
            code: codes.into_iter().find(|code| !is_success(code)),
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
        self.message.as_deref().and_then(quota_in)
    }
}

/// Reads a quota in the gateway's grammar: `limit:5,time:1 minute`, in any case, with blanks or
/// without, the unit in full or short.
pub(crate) fn quota_in(text: &str) -> Option<Rate> {
    let text = text.to_ascii_lowercase();
    let (limit, rest) = number_behind(&text, "limit")?;
    let (times, rest) = number_behind(rest, "time")?;
    let rest = rest.trim_start();
    let unit = rest.split(|c: char| !c.is_ascii_alphabetic()).next()?;
    let seconds = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3600,
        "d" | "day" | "days" => 86_400,
        _ => return None,
    };
    let window = Duration::from_secs(seconds).checked_mul(times)?;
    let requests = limit.try_into().ok()?;
    (!window.is_zero()).then_some(Rate::Limited { requests, window })
}

/// Whether a header of the gateway tells that nothing is left of its quota: `remain:0,limit:5,...`.
pub(crate) fn is_used_up(header: &str) -> bool {
    let header = header.to_ascii_lowercase();
    number_behind(&header, "remain").is_some_and(|(remain, _)| remain == 0)
}

/// The number that follows a name and a colon, and the text behind that.
fn number_behind<'a>(text: &'a str, name: &str) -> Option<(u32, &'a str)> {
    text.match_indices(name).find_map(|(at, _)| {
        let rest = text[at + name.len()..].trim_start_matches([' ', ':', '=']);
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        Some((rest[..digits].parse().ok()?, &rest[digits..]))
    })
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
    /// The longest that the server may ask to wait for its quota; beyond it the run ends and says so.
    pub longest_pause: Duration,
    /// The longest time without any answer of the API, after which the run ends and says so.
    pub longest_outage: Duration,
}

/// Delays before a second attempt that an outage may take.
const OUTAGE_DELAYS: u32 = 1_200;

impl Patience {
    /// The patience of a run that tries a page so often, with this delay before the second attempt.
    pub(crate) fn of(retries: u32, first_delay: Duration) -> Self {
        Self {
            retries,
            first_delay,
            longest_outage: first_delay.saturating_mul(OUTAGE_DELAYS),
            ..Self::default()
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retries: 8,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(30),
            longest_wait: Duration::from_secs(600),
            longest_pause: Duration::from_secs(3600),
            longest_outage: Duration::from_secs(600),
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
        let none = br#"{"error_code":"0","errorCode":0,"code":"","returnCode":"A.1"}"#;
        assert_eq!(ErrorBody::parse(none).code.as_deref(), Some("A.1"));
        let none = br#"{"error_code":"0","errorCode":0.0,"code":"MMC.000000000"}"#;
        assert_eq!(ErrorBody::parse(none).code, None);
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
        let body = include_bytes!("../../tests/it/fixtures/throttled-429.json");
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
        for alike in [
            "policy ip over ratelimit,limit:5, time:1 minute",
            "policy ip over ratelimit,limit:5,time:1 Minute",
            "Limit: 5, Time: 1 Minutes",
            "LIMIT:5,TIME:60 S",
            "limit = 5, time = 1min.",
        ] {
            let interval = text(alike).quota().and_then(Rate::interval);
            assert_eq!(interval, Some(Duration::from_secs(12)), "{alike}");
        }
        for odd in [
            "",
            "limit:,time:1 minute",
            "limit:5",
            "limit:5,time:99999999999 days",
            "limit:0,time:1 minute",
            "limit:5,time:0 second",
            "limit:5,time:1 fortnight",
        ] {
            assert_eq!(text(odd).quota(), None, "{odd}");
        }
    }

    #[test]
    fn a_header_with_nothing_left_is_told_from_others() {
        assert!(is_used_up("remain:0,limit:100,time:1 minute"));
        assert!(is_used_up("Remain: 0, limit: 100, time: 1 minute"));
        for other in [
            "remain:10,limit:100,time:1 minute",
            "limit:0",
            "remain:",
            "",
        ] {
            assert!(!is_used_up(other), "{other}");
        }
    }

    #[test]
    fn an_outage_is_borne_for_ten_minutes_by_default() {
        let patience = Patience::default();
        assert_eq!(Patience::of(8, patience.first_delay), patience);
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
