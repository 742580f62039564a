//! Kinds of failures, as reports and metrics count them.

use serde::{Deserialize, Serialize};

/// What kind of thing went wrong: few, fixed, and known by type rather than by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// An error object in an answer that claims success.
    Api,
    /// A setting, a flag or a meeting list.
    Config,
    /// An answer that cannot be read as a page, or a record that cannot be read.
    Decode,
    /// Answers that contradict each other.
    Drift,
    /// An answer with a status of 300 to 399.
    #[serde(rename = "http_3xx")]
    Http3xx,
    /// An answer with a status of 400 to 499.
    #[serde(rename = "http_4xx")]
    Http4xx,
    /// An answer with a status of 500 to 599.
    #[serde(rename = "http_5xx")]
    Http5xx,
    /// A defect of rollbook.
    Internal,
    /// The disk or the dataset.
    Storage,
    /// The quota.
    Throttled,
    /// The credentials or the token.
    Token,
    /// An answer larger than is read.
    TooLarge,
    /// No answer, or half of one.
    Transport,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Api,
        Self::Config,
        Self::Decode,
        Self::Drift,
        Self::Http3xx,
        Self::Http4xx,
        Self::Http5xx,
        Self::Internal,
        Self::Storage,
        Self::Throttled,
        Self::Token,
        Self::TooLarge,
        Self::Transport,
    ];

    /// The kind as reports and metrics spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Config => "config",
            Self::Decode => "decode",
            Self::Drift => "drift",
            Self::Http3xx => "http_3xx",
            Self::Http4xx => "http_4xx",
            Self::Http5xx => "http_5xx",
            Self::Internal => "internal",
            Self::Storage => "storage",
            Self::Throttled => "throttled",
            Self::Token => "token",
            Self::TooLarge => "too_large",
            Self::Transport => "transport",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_one_spelling() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
