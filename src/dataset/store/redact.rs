//! What a store in a network says of its failures, fit to be shown to anybody.
//!
//! Its words may repeat what it was sent: a signature, a token, a whole answer with markup. None of
//! that reaches a message.

use std::error::Error as _;

use object_store::Error;
use secrecy::{ExposeSecret, SecretString};

/// Longest text of one failure.
const LONGEST: usize = 400;

/// The address that is asked for credentials where none were given.
const METADATA: &str = "169.254.169.254";

/// The failure without secrets, markup and control characters.
pub(super) fn told<'a>(error: &Error, secrets: impl Iterator<Item = &'a SecretString>) -> String {
    // The kind of it is in the source as well, and the last source is not in the others.
    let mut source = error.source();
    let mut text = source.map_or_else(|| error.to_string(), ToString::to_string);
    let mut last = String::new();
    while let Some(cause) = source {
        last = cause.to_string();
        source = cause.source();
    }
    if !text.contains(&last) {
        text = format!("{text}: {last}");
    }
    let mut told = without_secrets(text, secrets);
    if told.contains(METADATA) {
        told += "; the environment has no credentials for this store";
    }
    told
}

/// The words of others in the same way.
pub(super) fn without_secrets<'a>(
    mut text: String,
    secrets: impl Iterator<Item = &'a SecretString>,
) -> String {
    for secret in secrets.map(ExposeSecret::expose_secret) {
        text = text.replace(secret, "...");
    }
    without_markup(&text)
}

/// The same failure, as a source of others.
pub(super) fn clean<'a>(error: Error, secrets: impl Iterator<Item = &'a SecretString>) -> Error {
    let told = told(&error, secrets);
    match error {
        Error::NotFound { path, .. } => Error::NotFound {
            path,
            source: told.into(),
        },
        _ => Error::Generic {
            store: "bucket",
            source: told.into(),
        },
    }
}

/// Of an answer in XML its code and message, on one line, of a bearable length.
fn without_markup(text: &str) -> String {
    let body = text.find("<?xml").or_else(|| text.find("<Error"));
    let (before, body) = text.split_at(body.unwrap_or(text.len()));
    let element = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>"))
            .map(|(inside, _)| inside)
    };
    let mut told = before.to_owned();
    for inside in [element("Code"), element("Message")].into_iter().flatten() {
        told.push(' ');
        told.push_str(inside);
    }
    let words: Vec<_> = told
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let told = words.join(" ");
    match told.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &told[..end]),
        None => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_by_its_code_without_secrets_or_markup() {
        let answer = "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\
            <Error><Code>SignatureDoesNotMatch</Code>\n<Message>not \u{1b}[2Jyours: hunter2</Message>\
            <StringToSign>x-amz-security-token:else</StringToSign></Error>";
        let error = Error::Generic {
            store: "S3",
            source: answer.into(),
        };
        let secrets = [SecretString::from("hunter2")];
        let told = told(&error, secrets.iter());
        assert_eq!(
            told,
            "Server returned non-2xx status code: 403 Forbidden: \
             SignatureDoesNotMatch not [2Jyours: ..."
        );
    }

    #[test]
    fn a_long_story_is_cut_short() {
        let error = Error::Generic {
            store: "S3",
            source: "é".repeat(10_000).into(),
        };
        assert!(told(&error, [].iter()).chars().count() < LONGEST + 10);
    }
}
