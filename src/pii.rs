//! What becomes of personal columns before anything is written: kept, masked, hashed or dropped.
//!
//! Applied to each page as soon as it is decoded, so that neither a part nor the spool ever holds
//! what was not to be kept, and to the meetings as soon as they are listed. Texts only; times and
//! counts stay. A hash is keyed and the same in every run with the same key, so that hashed columns
//! still join. A column is treated by its name, in whichever table it stands.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray, new_null_array};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::error::{Error, Result};
use crate::hex::hex;
use crate::record::Column;
use crate::table::MeetingColumn;

/// Shortest key: below it, hashes of telephone numbers could be reversed by trying keys.
const SHORTEST_KEY: usize = 16;

/// What stands for the part of a text that is not shown, whatever its length.
const MASK: &str = "***";

/// What becomes of a column's texts. Null stays null, and an empty text stays empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// As the API gives it.
    Keep,
    /// The first character, and asterisks; of a number the last two.
    Mask,
    /// HMAC-SHA256 with the key, in lower-case hexadecimal digits.
    Hash,
    /// Null.
    Drop,
}

impl Treatment {
    const ALL: [Self; 4] = [Self::Keep, Self::Mask, Self::Hash, Self::Drop];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Mask => "mask",
            Self::Hash => "hash",
            Self::Drop => "drop",
        }
    }
}

/// Which columns are treated, and how; every other is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PiiPolicy(Vec<(&'static str, Treatment)>);

impl PiiPolicy {
    fn new(pairs: impl IntoIterator<Item = (String, Treatment)>) -> Result<Self, String> {
        let mut policy: Vec<(usize, &str, Treatment)> = Vec::new();
        for (name, treatment) in pairs {
            let place = TEXTS.iter().position(|column| *column == name);
            let (place, column) = place
                .and_then(|place| Some((place, *TEXTS.get(place)?)))
                .ok_or_else(|| format!("{name}: expected one of {}", TEXTS.join(", ")))?;
            // It promises a JSON object.
            if column == Column::Extra.name()
                && matches!(treatment, Treatment::Mask | Treatment::Hash)
            {
                return Err("extra: it can be kept or dropped".to_owned());
            }
            if policy.iter().any(|(other, ..)| *other == place) {
                return Err(format!("{name} is there twice"));
            }
            policy.push((place, column, treatment));
        }
        policy.sort_by_key(|(place, ..)| *place);
        let is_treated = |(.., treatment): &(_, _, Treatment)| *treatment != Treatment::Keep;
        let has_treated_names = policy
            .iter()
            .any(|said| said.1 == Column::DisplayName.name() && is_treated(said));
        // Kept is what is not named; but a scheduler who is not goes the way of the names.
        policy.retain(|said| is_treated(said) || has_treated_names && said.1 == SCHEDULER);
        let policy = policy.into_iter();
        Ok(Self(
            policy
                .map(|(_, column, treatment)| (column, treatment))
                .collect(),
        ))
    }

    /// What becomes of a column, in either table.
    fn treatment(&self, column: &str) -> Treatment {
        let said = |name: &str| {
            let said = self.0.iter().find(|(column, _)| *column == name);
            said.map(|(_, treatment)| *treatment)
        };
        let treatment = said(column).or_else(|| {
            (column == SCHEDULER)
                .then(|| said(Column::DisplayName.name()))
                .flatten()
        });
        treatment.unwrap_or(Treatment::Keep)
    }

    fn hashes(&self) -> bool {
        self.0
            .iter()
            .any(|(_, treatment)| *treatment == Treatment::Hash)
    }
}

/// The columns that can be treated: those of records, then those that meetings alone have.
const TEXTS: [&str; 9] = [
    Column::DisplayName.name(),
    Column::CallNumber.name(),
    Column::DeviceType.name(),
    Column::MediaType.name(),
    Column::DeptName.name(),
    Column::Extra.name(),
    MeetingColumn::Subject.name(),
    SCHEDULER,
    CONFERENCE_ID,
];

/// A person's name as well: where nothing is said of it, it is treated as `display_name` is.
const SCHEDULER: &str = MeetingColumn::Scheduler.name();

/// A number that people dial: that of a personal room is one person's.
const CONFERENCE_ID: &str = MeetingColumn::ConferenceId.name();

impl TryFrom<String> for PiiPolicy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<PiiPolicy> for String {
    fn from(policy: PiiPolicy) -> Self {
        policy.to_string()
    }
}

impl FromStr for PiiPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
        let pairs = pairs.map(|pair| {
            let (name, how) = pair
                .split_once('=')
                .ok_or_else(|| format!("{pair}: expected COLUMN=keep|mask|hash|drop"))?;
            let how = how.trim();
            let treatment = Treatment::ALL
                .into_iter()
                .find(|treatment| treatment.as_str() == how)
                .ok_or_else(|| format!("{how}: expected keep, mask, hash or drop"))?;
            Ok((name.trim().to_owned(), treatment))
        });
        Self::new(pairs.collect::<Result<Vec<_>, String>>()?)
    }
}

impl fmt::Display for PiiPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<_> = self
            .0
            .iter()
            .map(|(column, treatment)| format!("{column}={}", treatment.as_str()))
            .collect();
        f.write_str(&pairs.join(","))
    }
}

/// A policy with its key, ready to be applied.
#[derive(Clone)]
pub(crate) struct Pii {
    policy: PiiPolicy,
    /// With the key, and nothing else yet.
    mac: Option<Hmac<Sha256>>,
}

impl fmt::Debug for Pii {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pii").field(&self.note()).finish()
    }
}

impl Pii {
    /// The policy with its key; nothing where every column is kept.
    ///
    /// # Errors
    ///
    /// A column is to be hashed, and there is no key or a short one.
    pub(crate) fn new(policy: &PiiPolicy, key: Option<&SecretString>) -> Result<Option<Self>> {
        if policy.0.is_empty() {
            return Ok(None);
        }
        let key = key.map(|key| key.expose_secret().as_bytes());
        let mac = match key.filter(|_| policy.hashes()) {
            None if policy.hashes() => {
                return Err(Error::Config(format!(
                    "pii = {policy}: hashing needs a key: set pii_key_file, pii_key_env or \
                     ROLLBOOK_PII_KEY"
                )));
            }
            None => None,
            Some(key) if key.len() < SHORTEST_KEY => {
                return Err(Error::Config(format!(
                    "the pii key has {} characters, which can be guessed: use 64 random ones",
                    key.len()
                )));
            }
            Some(key) => Hmac::<Sha256>::new_from_slice(key).ok(),
        };
        Ok(Some(Self {
            policy: policy.clone(),
            mac,
        }))
    }

    /// The policy in words, with the name of the key but not the key: two datasets with the same
    /// note join.
    pub(crate) fn note(&self) -> String {
        match &self.mac {
            Some(mac) => {
                let id = &digest(mac, "rollbook pii key")[..8];
                format!("{};key={id}", self.policy)
            }
            None => self.policy.to_string(),
        }
    }

    /// The rows of a table as they may be written.
    pub(crate) fn apply(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = rows.schema();
        let columns = schema.fields().iter().zip(rows.columns());
        let columns = columns.map(|(field, column)| {
            let name = field.name();
            self.treated(column, name, self.policy.treatment(name))
        });
        RecordBatch::try_new(rows.schema(), columns.collect())
    }

    fn treated(&self, texts: &ArrayRef, column: &str, treatment: Treatment) -> ArrayRef {
        let each = |text: &dyn Fn(&str) -> String| -> ArrayRef {
            let texts = texts.as_string::<i32>().iter();
            let treated = texts.map(|known| {
                known.map(|known| {
                    if known.is_empty() {
                        String::new()
                    } else {
                        text(known)
                    }
                })
            });
            Arc::new(treated.collect::<StringArray>())
        };
        match (treatment, &self.mac) {
            (Treatment::Keep, _) => Arc::clone(texts),
            (Treatment::Mask, _)
                if [Column::CallNumber.name(), CONFERENCE_ID].contains(&column) =>
            {
                each(&|text| {
                    let from = text.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
                    format!("{MASK}{}", &text[from..])
                })
            }
            (Treatment::Mask, _) => each(&|text| {
                let first = text.chars().next().unwrap_or_default();
                format!("{first}{MASK}")
            }),
            (Treatment::Hash, Some(mac)) => each(&|text| digest(mac, text)),
            // Without a key there is nothing to hash with, and nothing gets through.
            (Treatment::Drop | Treatment::Hash, _) => {
                new_null_array(texts.data_type(), texts.len())
            }
        }
    }
}

/// What a note says of the columns of records; nothing where they are all kept.
pub(crate) fn note_of_records(note: &str) -> Option<String> {
    let (policy, key) = note.split_once(';').unwrap_or((note, ""));
    let is_of_records = |pair: &&str| {
        let name = pair.split('=').next();
        Column::ALL.iter().any(|column| name == Some(column.name()))
    };
    let kept: Vec<_> = policy.split(',').filter(is_of_records).collect();
    let is_hashed = kept.iter().any(|pair| pair.ends_with("=hash"));
    let policy = kept.join(",");
    match (policy.is_empty(), is_hashed) {
        (true, _) => None,
        (false, true) => Some(format!("{policy};{key}")),
        (false, false) => Some(policy),
    }
}

fn digest(mac: &Hmac<Sha256>, text: &str) -> String {
    let mut mac = mac.clone();
    mac.update(text.as_bytes());
    hex(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::tests::page;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn pii(policy: &str) -> Pii {
        let policy = policy.parse().unwrap();
        Pii::new(&policy, Some(&KEY.into())).unwrap().unwrap()
    }

    fn texts(records: &RecordBatch, column: Column) -> Vec<Option<String>> {
        let texts = records.column(column.index()).as_string::<i32>();
        texts.iter().map(|text| text.map(str::to_owned)).collect()
    }

    fn treated(policy: &str, column: Column, text: &str) -> String {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![text]));
        let pii = pii(policy);
        let treatment = pii.policy.treatment(column.name());
        let treated = pii.treated(&texts, column.name(), treatment);
        treated.as_string::<i32>().value(0).to_owned()
    }

    #[test]
    fn a_hash_is_what_everybody_else_computes_with_that_key() {
        // printf %s +991116004380 | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let expected = "41efbdfc22723ed5";
        let found = treated("call_number=hash", Column::CallNumber, "+991116004380");
        assert_eq!((&found[..16], found.len()), (expected, 64));
    }

    #[test]
    fn a_mask_tells_no_length() {
        for (text, masked) in [("王小明", "王***"), ("Al", "A***"), ("", "")] {
            assert_eq!(
                treated("display_name=mask", Column::DisplayName, text),
                masked
            );
        }
        for (text, masked) in [("+991116004380", "***80"), ("7", "***7"), ("٣٤٥", "***٤٥")] {
            assert_eq!(
                treated("call_number=mask", Column::CallNumber, text),
                masked
            );
        }
    }

    #[test]
    fn only_what_was_named_is_touched() {
        let before = page("m1", 0, 300);
        let after = pii("display_name=hash,call_number=mask,dept_name=drop,media_type=keep")
            .apply(&before)
            .unwrap();
        assert_eq!(after.schema(), before.schema());
        for column in Column::ALL {
            let is_same = before.column(column.index()) == after.column(column.index());
            let is_treated = [Column::DisplayName, Column::CallNumber, Column::DeptName];
            assert_eq!(is_same, !is_treated.contains(&column), "{}", column.name());
        }
        assert!(texts(&after, Column::DeptName).iter().all(Option::is_none));
        let names = texts(&after, Column::DisplayName);
        assert!(names.iter().flatten().all(|name| name.len() == 64));
    }

    #[test]
    fn the_note_names_the_key_and_does_not_tell_it() {
        let note = pii("extra=drop,display_name=hash").note();
        assert!(
            note.starts_with("display_name=hash,extra=drop;key="),
            "{note}"
        );
        assert!(!note.contains("0123") && format!("{:?}", pii("extra=drop")).contains("extra"));
        let other = "fedcba9876543210fedcba9876543210".into();
        let policy = "extra=drop,display_name=hash".parse().unwrap();
        assert_ne!(
            Pii::new(&policy, Some(&other)).unwrap().unwrap().note(),
            note
        );
    }

    #[test]
    fn a_scheduler_goes_the_way_of_the_names_unless_something_is_said_of_them() {
        let treatment = |policy: &str| {
            let policy: PiiPolicy = policy.parse().unwrap();
            (policy.treatment("scheduler"), policy.to_string())
        };
        for (policy, expected, note) in [
            ("display_name=hash", Treatment::Hash, "display_name=hash"),
            (
                "scheduler=keep,display_name=mask",
                Treatment::Keep,
                "display_name=mask,scheduler=keep",
            ),
            ("scheduler=drop", Treatment::Drop, "scheduler=drop"),
            ("scheduler=keep", Treatment::Keep, ""),
            ("call_number=mask", Treatment::Keep, "call_number=mask"),
        ] {
            assert_eq!(treatment(policy), (expected, note.to_owned()), "{policy}");
        }
    }

    #[test]
    fn what_a_note_says_of_records_is_told_from_the_rest() {
        for (note, of_records) in [
            ("subject=drop,scheduler=keep", None),
            (
                "display_name=mask,subject=hash;key=1",
                Some("display_name=mask"),
            ),
            (
                "display_name=hash,subject=hash;key=1",
                Some("display_name=hash;key=1"),
            ),
            (
                "display_name=mask,extra=drop",
                Some("display_name=mask,extra=drop"),
            ),
        ] {
            assert_eq!(note_of_records(note).as_deref(), of_records, "{note}");
        }
    }

    #[test]
    fn a_policy_that_cannot_be_kept_is_refused() {
        for text in [
            "join_time=drop",
            "conf_uuid=hash",
            "extra=mask",
            "display_name",
            "display_name=encrypt",
            "display_name=hash,display_name=drop",
        ] {
            assert!(text.parse::<PiiPolicy>().is_err(), "{text}");
        }
        let policy: PiiPolicy = "display_name=hash".parse().unwrap();
        assert!(Pii::new(&policy, None).is_err());
        let short = Pii::new(&policy, Some(&"hunter2".into())).unwrap_err();
        assert!(!short.to_string().contains("hunter2"), "{short}");
        assert!(Pii::new(&PiiPolicy::default(), None).unwrap().is_none());
    }
}
