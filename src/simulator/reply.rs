//! An answer before it travels: status, headers, body, and how the connection treats it.
//!
//! The bodies of errors are worded here as the service and its gateway word them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use flate2::{Compression, Crc, FlushCompress};
use serde_json::json;

use super::effect::{Answer, Refusal, Throttled};

/// What the gateway sends when it cannot reach the service at all.
const BAD_GATEWAY: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n\
    <body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";

/// What becomes of the connection while the answer travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Travel {
    #[default]
    Plain,
    Hang,
    Reset,
    ResetAfter(usize),
    Truncate(usize),
    Drip {
        bytes: usize,
        pause: Duration,
    },
    Pad(u64),
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) travel: Travel,
    pub(super) delay: Duration,
}

impl Reply {
    /// JSON with this status.
    pub(super) fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::typed(status, "application/json", body)
    }

    fn typed(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: body.into(),
            travel: Travel::Plain,
            delay: Duration::ZERO,
        }
    }

    /// An error of the service.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = json!({"error_code": code, "error_msg": message});
        Self::json(status, body.to_string())
    }

    /// An error of the gateway.
    pub(super) fn gateway(status: u16, code: &str, message: &str, request_id: &str) -> Self {
        let body = json!({"error_msg": message, "error_code": code, "request_id": request_id});
        Self::json(status, body.to_string())
    }

    /// The gateway's word for too many requests.
    pub(super) fn throttled(throttled: &Throttled, request_id: &str) -> Self {
        let message = format!(
            "The throttling threshold has been reached: policy {} over ratelimit,limit:{},time:{}",
            throttled.policy, throttled.limit, throttled.per
        );
        let mut reply = Self::gateway(429, "APIG.0308", &message, request_id);
        reply.retry_after(throttled.retry_after, throttled.retry_after_date);
        reply
    }

    /// A token that is not accepted.
    pub(super) fn refused(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TimedOut => Self::error(401, "USG.000000004", "SESSION_TIMEOUT"),
            Refusal::Invalid => Self::error(401, "USG.206020000", "INVALID_TOKEN"),
            Refusal::KickedOut => Self::error(401, "USG.206020002", "TOKEN_KICKED_OUT"),
        }
    }

    /// A status with the body that goes with it.
    pub(super) fn of_status(status: u16, request_id: &str) -> Self {
        let gateway = |code, message| Self::gateway(status, code, message, request_id);
        match status {
            401 => Self::refused(Refusal::TimedOut),
            403 => Self::error(403, "MMC.111070002", "NO_PERMISSION"),
            404 => gateway(
                "APIG.0101",
                "The API does not exist or has not been published",
            ),
            429 => Self::throttled(&Throttled::default(), request_id),
            500 => Self::error(500, "MMC.200000002", "INTERNAL_ERROR"),
            502 => Self::typed(502, "text/html", BAD_GATEWAY),
            503 => gateway("APIG.0202", "Backend unavailable"),
            504 => gateway("APIG.0201", "Backend timeout"),
            _ if status < 400 => Self::json(status, Bytes::new()),
            _ => Self::error(status, "MMC.111070001", "BAD_REQUEST"),
        }
    }

    /// An answer as scripted.
    pub(super) fn scripted(answer: &Answer) -> Self {
        let mut reply = Self::typed(answer.status, &answer.content_type, answer.body.clone());
        let headers = answer.headers.iter();
        reply
            .headers
            .extend(headers.map(|(name, value)| (name.clone(), value.clone())));
        reply.retry_after(answer.retry_after, answer.retry_after_date);
        reply
    }

    /// The request lacks or garbles a parameter.
    pub(super) fn bad_parameter(name: &str) -> Self {
        Self::error(400, "MMC.111071061", &format!("PARAM_CHECK_FAILED: {name}"))
    }

    /// A page nested so many levels deep.
    pub(super) fn nested(levels: usize) -> Self {
        let tail = "],\"offset\":0,\"limit\":500,\"count\":1}";
        let body = [
            "{\"data\":[",
            &"[".repeat(levels),
            &"]".repeat(levels),
            tail,
        ]
        .concat();
        Self::json(200, body)
    }

    /// A page that unpacks to so many bytes.
    pub(super) fn gzip_bomb(bytes: u64) -> Self {
        let mut reply = Self::json(200, bomb(bytes));
        let header = ("Content-Encoding".to_owned(), "gzip".to_owned());
        reply.headers.push(header);
        reply
    }

    /// A page that never was and leads elsewhere.
    pub(super) fn redirect(to: &str) -> Self {
        let mut reply = Self::json(302, Bytes::new());
        reply.headers.push(("Location".to_owned(), to.to_owned()));
        reply
    }

    fn retry_after(&mut self, seconds: Option<u64>, date: Option<u64>) {
        let date = date.map(|seconds| {
            httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(seconds))
        });
        if let Some(value) = date.or_else(|| seconds.map(|seconds| seconds.to_string())) {
            self.headers.push(("Retry-After".to_owned(), value));
        }
    }
}

/// A gzip file of `bytes` spaces. One packed block stands for a mebibyte and is repeated, so that
/// a large bomb is made at once.
fn bomb(bytes: u64) -> Vec<u8> {
    const BLOCK: usize = 1 << 20;
    let spaces = vec![b' '; BLOCK];
    let (blocks, rest) = (bytes / BLOCK as u64, bytes % BLOCK as u64);
    let rest = &spaces[..usize::try_from(rest).unwrap_or(0)];
    let block = packed(&spaces);
    let mut check = Crc::new();
    let mut one = Crc::new();
    one.update(&spaces);
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for _ in 0..blocks {
        out.extend_from_slice(&block);
        check.combine(&one);
    }
    out.extend_from_slice(&packed(rest));
    check.update(rest);
    // An empty last block, then the checksum and the length.
    out.extend_from_slice(&[3, 0]);
    out.extend_from_slice(&check.sum().to_le_bytes());
    out.extend_from_slice(
        &u32::try_from(bytes & 0xffff_ffff)
            .unwrap_or(0)
            .to_le_bytes(),
    );
    out
}

/// `bytes` as deflate blocks of their own, up to a byte boundary and without a last block.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(bytes.len() / 8 + 64);
    // Packing into memory with room to spare does not fail; if it did, the bomb would be a dud.
    let _ = packer.compress_vec(bytes, &mut out, FlushCompress::Sync);
    out
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_bomb_is_small_and_unpacks_to_what_it_promises() {
        for bytes in [0, 10, 1 << 20, (3 << 20) + 5] {
            let packed = bomb(bytes);
            assert!(packed.len() < 16 << 10);
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&packed[..])
                .read_to_end(&mut unpacked)
                .unwrap();
            assert_eq!(unpacked.len() as u64, bytes);
        }
    }

    #[test]
    fn throttling_is_worded_as_the_gateway_words_it() {
        let throttled = Throttled {
            limit: 5,
            policy: "ip".to_owned(),
            ..Throttled::default()
        };
        let reply = Reply::throttled(&throttled, "914a39d68c290da3e187f827f7e1b771");
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(
            body,
            json!({
                "error_msg": "The throttling threshold has been reached: policy ip over ratelimit,limit:5,time:1 minute",
                "error_code": "APIG.0308",
                "request_id": "914a39d68c290da3e187f827f7e1b771",
            })
        );
    }
}
