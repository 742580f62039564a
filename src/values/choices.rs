//! Settings of which each is one of a few words, with one spelling for flags, files and messages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An enum of settings with one spelling for flags, files and messages.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every choice.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The choice as flags and files spell it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|choice| choice.as_str() == text).ok_or_else(|| {
                    let all: Vec<_> = Self::ALL.iter().map(|choice| choice.as_str()).collect();
                    format!("expected one of {}", all.join(", "))
                })
            }
        }
    };
}

choice! {
    /// What the parts are to other tools beside files.
    TableFormat {
        /// Files alone.
        #[default]
        Plain = "none",
        /// A Delta table of the records.
        Delta = "delta",
    }
}

choice! {
    /// Format of the parts; all carry the same columns and values.
    Format {
        /// Parquet files.
        #[default]
        Parquet = "parquet",
        /// One JSON object a line.
        Ndjson = "ndjson",
        /// Arrow IPC files; through a pipe, one Arrow IPC stream.
        Arrow = "arrow",
    }
}

impl Format {
    /// Whether a part without a row still has the columns. Readers fail on an NDJSON file without a
    /// line, so there is none.
    pub(crate) const fn has_empty_parts(self) -> bool {
        !matches!(self, Self::Ndjson)
    }
}

choice! {
    /// Encodings of the columns in Parquet parts: what their readers must know.
    ParquetEncodings {
        /// Every encoding that makes a part small; Spark before 3.3 and older Hive refuse some.
        #[default]
        Modern = "modern",
        /// Dictionaries and PLAIN alone, which every reader knows.
        Classic = "classic",
    }
}

choice! {
    /// What tells the parts of records apart, by the folders that they lie in.
    PartitionBy {
        /// Nothing: they lie side by side.
        #[default]
        None = "none",
        /// The day of the record's `join_time`.
        JoinDate = "join-date",
        /// The day of the earliest `join_time` of its meeting.
        MeetingDate = "meeting-date",
        /// The tenant, in the name of the dataset's folder.
        Tenant = "tenant",
    }
}

choice! {
    /// How a meeting of several pages is proven whole.
    Verify {
        /// Neighbouring pages share a record, which must be the same in both.
        #[default]
        Seams = "seams",
        /// Seams, and a second walk that must bring the same records.
        Twice = "twice",
    }
}

choice! {
    /// What to make of a `count` that is steadily wrong.
    CountPolicy {
        /// The meeting is incomplete; the report has both figures.
        #[default]
        Fail = "fail",
        /// The meeting is accepted when its end was seen twice and all seams hold.
        End = "end",
    }
}

choice! {
    /// What to make of equal records that no single answer of the server shows together.
    DuplicatePolicy {
        /// The meeting is incomplete; the report has the offsets.
        #[default]
        Fail = "fail",
        /// The meeting is accepted when a second walk shows them again.
        Keep = "keep",
    }
}

choice! {
    /// Form of the log on standard error.
    LogFormat {
        /// For people.
        #[default]
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

choice! {
    /// What to do where another run is at work on the dataset.
    IfRunning {
        /// Work beside it: each meeting is committed by one of them.
        #[default]
        Proceed = "proceed",
        /// Leave it to that run.
        Skip = "skip",
        /// Begin when it has ended.
        Wait = "wait",
    }
}

choice! {
    /// When to do something that is not always worth it.
    When {
        /// Where it is of use.
        #[default]
        Auto = "auto",
        /// Always.
        Always = "always",
        /// Never.
        Never = "never",
    }
}
