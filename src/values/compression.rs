//! How parts are compressed, as flags and files spell it.
//!
//! One setting for all formats; which ways a format takes is told here as well. Where parts are
//! compressed inside, a dataset may hold parts of several ways; where a part is compressed as a
//! whole, its name's extension tells how.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::choices::Format;

/// How parts are compressed; not every format takes every way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// As they are.
    None,
    /// Snappy, which every reader of Parquet knows.
    Snappy,
    /// LZ4: in Parquet its raw blocks, in Arrow its frames.
    Lz4,
    /// Zstandard.
    Zstd(ZstdLevel),
    /// gzip.
    Gzip,
}

/// A level of Zstandard: 1, the fastest, to 22.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ZstdLevel(u8);

impl ZstdLevel {
    /// The fastest level.
    pub const FASTEST: Self = Self(1);

    /// The level as a number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Compression {
    /// Zstandard at its fastest: a higher level costs more time than it saves bytes on records.
    pub const ZSTD: Self = Self::Zstd(ZstdLevel::FASTEST);

    /// What a format does where nothing is said: Parquet compresses, the others do not.
    pub const fn of(format: Format) -> Self {
        match format {
            Format::Parquet => Self::ZSTD,
            Format::Ndjson | Format::Arrow => Self::None,
        }
    }

    /// The ways that a format takes, as they are spelt.
    pub(crate) const fn choices(format: Format) -> &'static str {
        match format {
            Format::Parquet => "zstd[:LEVEL], lz4, snappy or none",
            Format::Ndjson => "none, zstd[:LEVEL] or gzip",
            Format::Arrow => "none, lz4 or zstd[:LEVEL]",
        }
    }

    /// Whether a format takes this way.
    pub(crate) const fn suits(self, format: Format) -> bool {
        match self {
            Self::None | Self::Zstd(_) => true,
            Self::Snappy => matches!(format, Format::Parquet),
            Self::Lz4 => matches!(format, Format::Parquet | Format::Arrow),
            Self::Gzip => matches!(format, Format::Ndjson),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Snappy => f.write_str("snappy"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd(level) => write!(f, "zstd:{}", level.get()),
            Self::Gzip => f.write_str("gzip"),
        }
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "none" => Self::None,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::ZSTD,
            "gzip" => Self::Gzip,
            _ => match text.strip_prefix("zstd:").map(str::parse) {
                Some(Ok(level @ 1..=22)) => Self::Zstd(ZstdLevel(level)),
                Some(_) => return Err("zstd has the levels 1 to 22".to_owned()),
                None => return Err("expected zstd[:LEVEL], lz4, snappy, gzip or none".to_owned()),
            },
        })
    }
}

impl TryFrom<String> for Compression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> Self {
        compression.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_read_as_it_is_written() {
        for text in ["none", "snappy", "lz4", "zstd:1", "zstd:22", "gzip"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("zstd".parse(), Ok(Compression::ZSTD));
    }

    #[test]
    fn what_is_no_way_or_no_level_is_refused() {
        for text in [
            "", "zstd:", "zstd:0", "zstd:23", "zstd:-1", "zstd:300", "lz4:1", "brotli",
        ] {
            assert!(text.parse::<Compression>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_format_takes_the_ways_that_it_names() {
        for &format in Format::ALL {
            assert!(Compression::of(format).suits(format));
            for (way, name) in [
                (Compression::None, "none"),
                (Compression::Snappy, "snappy"),
                (Compression::Lz4, "lz4"),
                (Compression::ZSTD, "zstd"),
                (Compression::Gzip, "gzip"),
            ] {
                let is_named = Compression::choices(format).contains(name);
                assert_eq!(way.suits(format), is_named, "{format} {name}");
            }
        }
    }
}
