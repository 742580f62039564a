//! Settings with bounds of their own, or that may be secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What to search for; it may be a phone number, so `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SearchKey(String);

impl SearchKey {
    /// The key as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for SearchKey {
    fn from(key: String) -> Self {
        Self(key)
    }
}

impl fmt::Debug for SearchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SearchKey(..)")
    }
}

/// A program and its arguments, which may be secret: `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandLine(Vec<String>);

impl CommandLine {
    /// The program first, then its arguments.
    pub fn into_words(self) -> Vec<String> {
        self.0
    }
}

impl From<Vec<String>> for CommandLine {
    fn from(words: Vec<String>) -> Self {
        Self(words)
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommandLine(..)")
    }
}

/// Records a request: 1 to 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PageSize(u32);

impl PageSize {
    /// The API's documented maximum.
    pub const MAX: Self = Self(500);

    /// The number of records.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for PageSize {
    type Error = String;

    fn try_from(records: u32) -> Result<Self, String> {
        if (1..=Self::MAX.0).contains(&records) {
            Ok(Self(records))
        } else {
            Err(format!(
                "page size {records}: expected 1 to {}",
                Self::MAX.0
            ))
        }
    }
}

impl From<PageSize> for u32 {
    fn from(size: PageSize) -> Self {
        size.0
    }
}

impl FromStr for PageSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<u32>()
            .map_err(|error| error.to_string())?
            .try_into()
    }
}
