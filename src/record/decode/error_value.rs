//! The value of an `error_code` member: an error, or success.

use serde_json::value::RawValue;

/// Returns whether a code stands for success, as `0` or the empty text do: some servers send one beside
/// data.
pub(crate) fn is_success(code: &str) -> bool {
    let code = code.trim();
    let (service, number) = code.rsplit_once('.').unwrap_or(("", code));
    let is_zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    let is_name = || service.bytes().all(|byte| byte.is_ascii_alphabetic());
    code.is_empty() || !number.is_empty() && is_zero(number) && (is_zero(service) || is_name())
}

/// Returns whether a number as a code stands for success.
pub(crate) fn is_zero(code: &serde_json::Number) -> bool {
    code.as_f64() == Some(0.0)
}

/// Returns whether the value of an `error_code` member stands for an error.
pub(super) fn is_error_code(value: &RawValue) -> bool {
    match serde_json::from_str(value.get()) {
        Ok(serde_json::Value::Null) => false,
        Ok(serde_json::Value::String(code)) => !is_success(&code),
        Ok(serde_json::Value::Number(code)) => !is_zero(&code),
        // A text with a lone surrogate is no code of success either.
        Ok(_) | Err(_) => true,
    }
}
