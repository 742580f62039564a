//! Personal columns are kept, masked, hashed or dropped before anything is written.
//!
//! Each page is treated as soon as it is decoded and digested, so that neither a part nor the spool
//! ever holds what was not to be kept; meetings are treated as soon as they are listed. Texts only;
//! times and counts stay. A hash is keyed and the same in every run with the same key, so that
//! hashed columns still join. A column is treated by its name, in either table.

mod extra;
mod rows;
mod spelling;

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::schema::Column;
use super::table::MeetingColumn;
use crate::error::{Error, Result};
use crate::values::hex::hex;

/// Shortest key: below it, hashes of telephone numbers could be reversed by trying keys.
const SHORTEST_KEY: usize = 16;

/// Version of the rule that makes pseudonyms and finds texts that show another column; kept in the
/// metadata. Rule 1: HMAC-SHA256 over the text in NFC, and of numbers without blanks; a text that
/// shows a number or a name of its row is treated as strictly as that, see `rows` and `spelling`.
const RULE_VERSION: u32 = 1;

/// Treatment of a column's texts, from the least strict on. Null stays null, and an empty text stays
/// empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Treatment {
    /// As the API gives it.
    Keep,
    /// The first character, and asterisks; of a number the last two.
    Mask,
    /// HMAC-SHA256 with the key, in lower-case hexadecimal digits: over the text in NFC, and of a
    /// number without blanks.
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
            if column == EXTRA && matches!(treatment, Treatment::Mask | Treatment::Hash) {
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
            .any(|said| said.1 == DISPLAY_NAME && is_treated(said));
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
        let treatment =
            said(column).or_else(|| (column == SCHEDULER).then(|| said(DISPLAY_NAME)).flatten());
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
    DISPLAY_NAME,
    CALL_NUMBER,
    Column::DeviceType.name(),
    Column::MediaType.name(),
    DEPT_NAME,
    EXTRA,
    SUBJECT,
    SCHEDULER,
    CONFERENCE_ID,
];

const DISPLAY_NAME: &str = Column::DisplayName.name();
const CALL_NUMBER: &str = Column::CallNumber.name();
const DEPT_NAME: &str = Column::DeptName.name();
const EXTRA: &str = Column::Extra.name();
const SUBJECT: &str = MeetingColumn::Subject.name();

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

    /// The policy in words, with the version of the rule and the name of the key, but not the key:
    /// two datasets with the same note join.
    pub(crate) fn note(&self) -> String {
        let policy = &self.policy;
        match &self.mac {
            Some(mac) => {
                let id = &digest(mac, "rollbook pii key")[..8];
                format!("{policy};rule={RULE_VERSION};key={id}")
            }
            None => format!("{policy};rule={RULE_VERSION}"),
        }
    }
}

/// The part of a note that is about the columns of records; nothing where they are all kept.
pub(crate) fn note_of_records(note: &str) -> Option<String> {
    let (policy, rest) = note.split_once(';').unwrap_or((note, ""));
    let is_of_records = |pair: &&str| {
        let name = pair.split('=').next();
        Column::ALL.iter().any(|column| name == Some(column.name()))
    };
    let mut kept: Vec<_> = policy.split(',').filter(is_of_records).collect();
    if kept.is_empty() {
        return None;
    }
    let is_hashed = kept.iter().any(|pair| pair.ends_with("=hash"));
    let policy = kept.join(",");
    kept = rest.split(';').filter(|part| !part.is_empty()).collect();
    kept.retain(|part| is_hashed || !part.starts_with("key="));
    kept.insert(0, &policy);
    Some(kept.join(";"))
}

fn digest(mac: &Hmac<Sha256>, text: &str) -> String {
    let mut mac = mac.clone();
    mac.update(text.as_bytes());
    hex(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};

    use super::*;
    use crate::dataset::writer::tests::page;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn pii(policy: &str) -> Pii {
        let policy = policy.parse().unwrap();
        Pii::new(&policy, Some(&KEY.into())).unwrap().unwrap()
    }

    fn texts(records: &RecordBatch, column: Column) -> Vec<Option<String>> {
        let texts = records.column(column.index()).as_string::<i32>();
        texts.iter().map(|text| text.map(str::to_owned)).collect()
    }

    /// One record whose other texts are null.
    fn record(known: &[(Column, &str)]) -> RecordBatch {
        let before = page("m1", 0, 1);
        let columns = Column::ALL.map(|column| -> ArrayRef {
            let text = known.iter().find(|(of, _)| *of == column);
            let is_text = column.data_type() == arrow::datatypes::DataType::Utf8;
            if column == Column::ConfUuid || !is_text {
                return Arc::clone(before.column(column.index()));
            }
            Arc::new(StringArray::from(vec![text.map(|(_, text)| *text)]))
        });
        RecordBatch::try_new(before.schema(), columns.to_vec()).unwrap()
    }

    /// What becomes of a column of this record.
    fn becomes(policy: &str, known: &[(Column, &str)], column: Column) -> Option<String> {
        let treated = pii(policy).apply(&record(known)).unwrap();
        texts(&treated, column).remove(0)
    }

    fn treated(policy: &str, column: Column, text: &str) -> String {
        becomes(policy, &[(column, text)], column).unwrap()
    }

    #[test]
    fn a_hash_is_what_everybody_else_computes_with_that_key() {
        // printf %s +991116004380 | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
        let expected = "41efbdfc22723ed5";
        let found = treated("call_number=hash", Column::CallNumber, "+991116004380");
        assert_eq!((&found[..16], found.len()), (expected, 64));
    }

    #[test]
    fn spellings_of_one_name_or_number_have_one_hash() {
        let hash = |column: Column, text| treated(&format!("{}=hash", column.name()), column, text);
        let name = |text| hash(Column::DisplayName, text);
        assert_eq!(name("Ame\u{301}lie"), name("Am\u{e9}lie"));
        assert_ne!(name("Am\u{e9}lie"), name("Amelie"));
        // A blank in a name tells people apart; in a number it does not.
        assert_ne!(name("An Na"), name("Anna"));
        let number = |text| hash(Column::CallNumber, text);
        for spelling in ["+99 1116 004380", "+99\u{a0}1116004380 ", "\t+991116004380"] {
            assert_eq!(number(spelling), number("+991116004380"), "{spelling:?}");
        }
        assert_ne!(number("991116004380"), number("+991116004380"));
    }

    #[test]
    fn a_name_that_is_the_number_is_treated_as_strictly_as_the_number() {
        use Column::{CallNumber, DeptName, DisplayName};
        let number = "+991116004380";
        let hashed = Some(treated("call_number=hash", CallNumber, number));
        let masked = Some("***80".to_owned());
        for name in [
            number,
            "991116004380",
            "+99 1116 004380",
            "(+99) 1116-004380",
        ] {
            let becomes = |policy| {
                becomes(
                    policy,
                    &[(DisplayName, name), (CallNumber, number)],
                    DisplayName,
                )
            };
            assert_eq!(becomes("call_number=hash"), hashed, "{name}");
            assert_eq!(becomes("call_number=mask"), masked, "{name}");
            assert_eq!(becomes("call_number=drop"), None, "{name}");
            assert_eq!(
                becomes("call_number=hash,display_name=mask"),
                hashed,
                "{name}"
            );
            assert_eq!(
                becomes("call_number=mask,display_name=hash"),
                hashed,
                "{name}"
            );
            assert_eq!(
                becomes("call_number=mask,display_name=drop"),
                None,
                "{name}"
            );
            assert_eq!(becomes("display_name=mask"), masked.clone(), "{name}");
            assert_eq!(becomes("dept_name=drop"), Some(name.to_owned()), "{name}");
        }
        // With more around it, or in a record without a number.
        for (name, known) in [("Desk +991116004380", number), ("+49 30 1234567", "")] {
            let row = [(DisplayName, name), (CallNumber, known), (DeptName, name)];
            let became = becomes("call_number=hash", &row, DisplayName).unwrap();
            assert_eq!(became.len(), 64, "{name}: {became}");
            assert_eq!(
                becomes("call_number=drop", &row, DisplayName),
                None,
                "{name}"
            );
        }
        let row = [
            (DisplayName, "Alice"),
            (CallNumber, number),
            (DeptName, "Room 4380"),
        ];
        assert_eq!(
            becomes("call_number=drop", &row, DisplayName).unwrap(),
            "Alice"
        );
        assert_eq!(
            becomes("call_number=drop", &row, DeptName).unwrap(),
            "Room 4380"
        );
        let row = [(CallNumber, number), (DeptName, "ext. +99 1116004380")];
        assert_eq!(becomes("call_number=drop", &row, DeptName), None);
    }

    #[test]
    fn what_a_row_hides_is_not_told_by_members_that_nobody_knows() {
        use Column::{CallNumber, DisplayName, Extra};
        let extra = r#"{"a":1.50,"phone":991116004380,"who":[{"nick":"\u0041lice","x":1e5}]}"#;
        let row = [
            (DisplayName, "Alice"),
            (CallNumber, "+991116004380"),
            (Extra, extra),
        ];
        let becomes = |policy| becomes(policy, &row, Extra);
        assert_eq!(
            becomes("call_number=mask,display_name=drop").unwrap(),
            r#"{"a":1.50,"phone":"***80","who":[{"nick":null,"x":100000.0}]}"#
        );
        assert_eq!(
            becomes("call_number=drop").unwrap(),
            r#"{"a":1.50,"phone":null,"who":[{"nick":"\u0041lice","x":1e5}]}"#
        );
        assert_eq!(becomes("dept_name=drop").unwrap(), extra);
        assert_eq!(becomes("extra=drop"), None);
        let named = [(DisplayName, "Alice"), (Extra, r#"{"Alice":1,"b":2}"#)];
        let became = super::tests::becomes("display_name=hash", &named, Extra);
        assert_eq!(became.unwrap(), r#"{"b":2}"#);
        let broken = [(DisplayName, "Alice"), (Extra, r#"{"x":"Alice""#)];
        assert_eq!(
            super::tests::becomes("display_name=hash", &broken, Extra),
            None
        );
    }

    #[test]
    fn a_subject_does_not_tell_who_scheduled_the_meeting() {
        let schema = crate::record::table::Table::Meetings.schema();
        let becomes = |policy: &str, known: [&str; 3]| {
            let before = crate::dataset::writer::tests::meetings(&["m1"]);
            let columns = schema.fields().iter().zip(before.columns());
            let columns = columns.map(|(field, column)| -> ArrayRef {
                let text = |text: &str| Arc::new(StringArray::from(vec![text.to_owned()]));
                match field.name().as_str() {
                    SUBJECT => text(known[0]),
                    SCHEDULER => text(known[1]),
                    CONFERENCE_ID => text(known[2]),
                    _ => Arc::clone(column),
                }
            });
            let before = RecordBatch::try_new(schema.clone(), columns.collect()).unwrap();
            let after = pii(policy).apply(&before).unwrap();
            [SUBJECT, SCHEDULER, CONFERENCE_ID].map(|name| {
                let column = after.column_by_name(name).unwrap().as_string::<i32>();
                column.is_valid(0).then(|| column.value(0).to_owned())
            })
        };
        let known = |texts: [&str; 3]| texts.map(|text| Some(text.to_owned()));
        let [subject, alice, room] = ["ALICE's meeting", "Alice", "980 123 456"];
        assert_eq!(
            becomes("display_name=mask", [subject, alice, room]),
            known(["A***", "A***", room])
        );
        assert_eq!(
            becomes("scheduler=drop", ["Budget", alice, room]),
            [Some("Budget".to_owned()), None, Some(room.to_owned())]
        );
        assert_eq!(
            becomes("scheduler=drop", [subject, alice, room])[..2],
            [None, None]
        );
        assert_eq!(
            becomes("conference_id=mask", ["Room 980123456", alice, room]),
            known(["R***", alice, "***56"])
        );
        assert_eq!(
            becomes("call_number=drop", [subject, "+99 1116 004380", room])[1],
            None
        );
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
            note.starts_with("display_name=hash,extra=drop;rule=1;key="),
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
            ("subject=drop,scheduler=keep;rule=1", None),
            (
                "display_name=mask,subject=hash;rule=1;key=1",
                Some("display_name=mask;rule=1"),
            ),
            (
                "display_name=hash,subject=hash;rule=1;key=1",
                Some("display_name=hash;rule=1;key=1"),
            ),
            (
                "display_name=mask,extra=drop;rule=1",
                Some("display_name=mask,extra=drop;rule=1"),
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
