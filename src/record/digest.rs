//! Keyed digests of records: 8 bytes that stand for every member that the API gave.
//!
//! Two records are taken for equal where their digests are. A digest is made before any personal
//! column is treated, so that dropping or masking a column does not make records equal. `SipHash`
//! with a secret key is a pseudorandom function: without the key, no name or number can be guessed
//! from a digest.

use std::fmt;

use arrow::array::{Array, AsArray, PrimitiveArray, StringArray};
use arrow::datatypes::TimestampMillisecondType;
use arrow::record_batch::RecordBatch;
use siphasher::sip::SipHasher13;

use super::salt::DatasetSalt;
use super::schema::Column;

/// Columns that hold what the API gave as text; the remaining columns follow from these and the
/// two times.
const TEXTS: [Column; 6] = [
    Column::DisplayName,
    Column::CallNumber,
    Column::DeviceType,
    Column::MediaType,
    Column::DeptName,
    Column::Extra,
];

const TIMES: [Column; 2] = [Column::JoinTime, Column::LeftTime];

/// Length that marks a text as null; no text of a page is as long.
const NULL: u32 = u32::MAX;

/// Key of the digests of one dataset's records.
#[derive(Clone, Default)]
pub struct DigestKey([u8; 16]);

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(..)")
    }
}

impl DigestKey {
    /// A key of 16 secret bytes. The default key is public and fit for tests alone.
    pub fn new(key: [u8; 16]) -> Self {
        Self(key)
    }

    /// The key for the records of the dataset with this salt.
    pub(crate) fn of(salt: &DatasetSalt) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&salt.derive("record digests")[..16]);
        Self(key)
    }

    /// Returns the digest of each record, in order.
    pub(crate) fn digests(&self, records: &RecordBatch) -> Vec<u64> {
        let hasher = SipHasher13::new_with_key(&self.0);
        let times: [&PrimitiveArray<TimestampMillisecondType>; 2] =
            TIMES.map(|column| records.column(column.index()).as_primitive());
        let texts: [&StringArray; 6] =
            TEXTS.map(|column| records.column(column.index()).as_string());
        let mut bytes = Vec::with_capacity(256);
        let digest = |row| {
            bytes.clear();
            for times in times {
                let time = times.is_valid(row).then(|| times.value(row));
                bytes.push(u8::from(time.is_some()));
                bytes.extend_from_slice(&time.unwrap_or_default().to_le_bytes());
            }
            for texts in texts {
                let text = if texts.is_valid(row) {
                    Some(texts.value(row))
                } else {
                    None
                };
                let length = text.map_or(Ok(NULL), |text| u32::try_from(text.len()));
                bytes.extend_from_slice(&length.unwrap_or(NULL).to_le_bytes());
                bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
            }
            hasher.hash(&bytes)
        };
        (0..records.num_rows()).map(digest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::decode::Page;
    use crate::record::salt::tests::salt;

    fn digests(key: &DigestKey, records: &str) -> Vec<u64> {
        let body = format!(r#"{{"data":[{records}],"offset":0,"limit":9,"count":9}}"#);
        let page = Page::decode(body.as_bytes(), &"a".parse().unwrap(), 0, key);
        page.unwrap().digests
    }

    #[test]
    fn every_member_and_its_absence_make_a_difference() {
        let records = [
            r"{}",
            r#"{"displayName":""}"#,
            r#"{"callNumber":""}"#,
            r#"{"displayName":"a"}"#,
            r#"{"callNumber":"a"}"#,
            r#"{"displayName":"a","callNumber":"b"}"#,
            r#"{"displayName":"ab"}"#,
            r#"{"deviceType":"a"}"#,
            r#"{"mediaType":"a"}"#,
            r#"{"deptName":"a"}"#,
            r#"{"joinTime":1574119917872}"#,
            r#"{"leftTime":1574119917872}"#,
            r#"{"joinTime":1574119917872,"leftTime":1574119917872}"#,
            r#"{"role":1}"#,
            r#"{"role":2}"#,
        ];
        let key = DigestKey::default();
        let mut all = digests(&key, &records.join(","));
        assert_eq!(digests(&key, records[5]), all[5..6]);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), records.len());
    }

    #[test]
    fn without_the_key_a_digest_cannot_be_made() {
        let record = r#"{"displayName":"a"}"#;
        let (one, two) = (DigestKey::new([1; 16]), DigestKey::new([2; 16]));
        assert_ne!(digests(&one, record), digests(&two, record));
        assert_eq!(format!("{one:?}"), "DigestKey(..)");
        let other = DatasetSalt::random().unwrap();
        let [ours, same, other] = [&salt(), &salt(), &other].map(DigestKey::of);
        assert_eq!(digests(&ours, record), digests(&same, record));
        assert_ne!(digests(&ours, record), digests(&other, record));
    }
}
