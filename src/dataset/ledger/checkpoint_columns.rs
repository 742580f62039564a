//! Entries as columns: what a checkpoint is made of, and how each value finds its way back.
//!
//! A row is an entry: the JSON of all but its meetings, the object that it was read from, and its
//! meetings as a list. A change of any column, or of its meaning, is another version. What does not
//! come back as it was is not written.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int8Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampNanosecondArray, UInt64Array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Field, Fields, Int8Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType,
    UInt64Type,
};
use chrono::{DateTime, Utc};

use super::{CommittedMeeting, Entry, Seen};
use crate::record::TIME_ZONE;
use crate::report::{MeetingStatus, Proof};

/// The schema's metadata says the version of the form under this key.
pub(super) const VERSION_KEY: &str = "rollbook.checkpoint_version";

/// The version of these columns.
pub(super) const VERSION: u32 = 1;

/// Enough meetings, rows or bytes of JSON for a batch. An entry is never cut in two.
pub(super) const BATCH_MEETINGS: usize = 1 << 15;
const BATCH_ROWS: usize = 1 << 12;
const BATCH_HEADS: usize = 1 << 24;

/// What is beyond these comes near what a column can hold.
const MOST_MEETINGS: usize = 1 << 24;
const MOST_HEADS: usize = 1 << 30;

const PROOFS: [Proof; 3] = [Proof::SinglePage, Proof::Seams, Proof::Twice];

static MEETING: LazyLock<Fields> = LazyLock::new(|| {
    let text = || Box::new(DataType::Utf8);
    Fields::from(vec![
        Field::new("conf_uuid", DataType::Utf8, false),
        Field::new("count", DataType::UInt64, false),
        Field::new("rows", DataType::UInt64, false),
        Field::new("requests", DataType::UInt64, false),
        Field::new("first_fetch", instant(), false),
        Field::new("last_fetch", instant(), false),
        Field::new(
            "proof",
            DataType::Dictionary(Box::new(DataType::Int8), text()),
            false,
        ),
        Field::new("pages", DataType::UInt64, true),
        Field::new("seams", DataType::UInt64, true),
    ])
});

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let meeting = DataType::Struct(MEETING.clone());
    let fields = vec![
        Field::new("head", DataType::Utf8, false),
        Field::new("bytes", DataType::UInt64, false),
        Field::new("modified", instant(), false),
        Field::new(
            "meetings",
            DataType::List(Arc::new(Field::new_list_field(meeting, false))),
            false,
        ),
    ];
    let version = (VERSION_KEY.to_owned(), VERSION.to_string());
    Arc::new(Schema::new_with_metadata(fields, [version]))
});

pub(super) fn schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// The entries at the front that make a batch, and how many they are; nothing where they have no
/// place in these columns.
pub(super) fn batch<'a>(
    rows: impl Iterator<Item = (&'a Entry, Seen)>,
) -> Option<(RecordBatch, usize)> {
    let (mut heads, mut entries, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    let (mut of_heads, mut meetings) = (0, 0);
    for (entry, object) in rows {
        let head = head(entry)?;
        of_heads += head.len();
        meetings += entry.meetings.len();
        if meetings > MOST_MEETINGS || of_heads > MOST_HEADS {
            return None;
        }
        heads.push(head);
        entries.push(entry);
        seen.push(object);
        if meetings >= BATCH_MEETINGS || of_heads >= BATCH_HEADS || heads.len() >= BATCH_ROWS {
            break;
        }
    }
    let modified = seen.iter().map(|object| nanos(object.modified?));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(&heads)),
        Arc::new(UInt64Array::from_iter_values(
            seen.iter().map(|object| object.bytes),
        )),
        Arc::new(instants(modified)?),
        Arc::new(lists(&entries)?),
    ];
    let batch = RecordBatch::try_new(schema(), columns).ok()?;
    Some((batch, entries.len()))
}

/// The entries of a batch, each as sound as one that was read from its own object; nothing where
/// one is not.
pub(super) fn entries(batch: &RecordBatch) -> Option<Vec<(Entry, Seen)>> {
    let [heads, bytes, modified, lists] = batch.columns() else {
        return None;
    };
    let heads = heads.as_string_opt::<i32>()?;
    let bytes = bytes.as_primitive_opt::<UInt64Type>()?;
    let modified = modified.as_primitive_opt::<TimestampNanosecondType>()?;
    let lists = lists.as_list_opt::<i32>()?;
    let mut meetings = meetings(lists.values().as_struct_opt()?)?;
    let mut entries = Vec::with_capacity(batch.num_rows());
    for (row, head) in heads.iter().enumerate() {
        let mut entry: Entry = serde_json::from_str(head?).ok()?;
        let length = usize::try_from(lists.value_length(row)).ok()?;
        entry.meetings.reserve_exact(length);
        for meeting in meetings.by_ref().take(length) {
            entry.meetings.push(meeting?);
        }
        if entry.meetings.len() != length || entry.fault().is_some() {
            return None;
        }
        let object = Seen {
            bytes: bytes.value(row),
            modified: Some(DateTime::from_timestamp_nanos(modified.value(row))),
        };
        entries.push((entry, object));
    }
    Some(entries)
}

/// The JSON of an entry without its meetings.
fn head(entry: &Entry) -> Option<String> {
    let head = Entry {
        version: entry.version,
        sequence: entry.sequence,
        run_id: entry.run_id.clone(),
        committed_at: entry.committed_at,
        previous_sha256: entry.previous_sha256.clone(),
        parts: entry.parts.clone(),
        meetings: Vec::new(),
        retracts: entry.retracts.clone(),
        rewrite: entry.rewrite.clone(),
        rechecked: entry.rechecked.clone(),
        asked: entry.asked.clone(),
        schema_versions: entry.schema_versions,
        partitioning: entry.partitioning,
    };
    serde_json::to_string(&head).ok()
}

fn lists(entries: &[&Entry]) -> Option<ListArray> {
    let mut offsets = vec![0_i32];
    let mut end = 0;
    for entry in entries {
        end += entry.meetings.len();
        offsets.push(i32::try_from(end).ok()?);
    }
    let all = || entries.iter().flat_map(|entry| &entry.meetings);
    // The entries' form has room for others, their laws have not.
    if all().any(|meeting| meeting.status != MeetingStatus::Complete) {
        return None;
    }
    let numbers = |of: fn(&CommittedMeeting) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(all().map(of)))
    };
    let perhaps = |of: fn(&CommittedMeeting) -> Option<u64>| -> ArrayRef {
        Arc::new(all().map(of).collect::<UInt64Array>())
    };
    let uuids = all().map(|meeting| meeting.conf_uuid.as_str());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(uuids)),
        numbers(|meeting| meeting.count),
        numbers(|meeting| meeting.rows),
        numbers(|meeting| meeting.requests),
        Arc::new(instants(all().map(|meeting| nanos(meeting.first_fetch)))?),
        Arc::new(instants(all().map(|meeting| nanos(meeting.last_fetch)))?),
        Arc::new(proofs(all().map(|meeting| meeting.proof))?),
        perhaps(|meeting| meeting.pages),
        perhaps(|meeting| meeting.seams),
    ];
    let meetings = StructArray::try_new(MEETING.clone(), columns, None).ok()?;
    let field = Field::new_list_field(DataType::Struct(MEETING.clone()), false);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    ListArray::try_new(Arc::new(field), offsets, Arc::new(meetings), None).ok()
}

fn meetings(
    columns: &StructArray,
) -> Option<impl Iterator<Item = Option<CommittedMeeting>> + use<'_>> {
    let numbers = |name| {
        columns
            .column_by_name(name)?
            .as_primitive_opt::<UInt64Type>()
    };
    let instants = |name| {
        let column = columns.column_by_name(name)?;
        column.as_primitive_opt::<TimestampNanosecondType>()
    };
    let uuids = columns
        .column_by_name("conf_uuid")?
        .as_string_opt::<i32>()?;
    let (count, rows) = (numbers("count")?, numbers("rows")?);
    let requests = numbers("requests")?;
    let (first_fetch, last_fetch) = (instants("first_fetch")?, instants("last_fetch")?);
    let proof = columns.column_by_name("proof")?;
    let proof = proof.as_dictionary_opt::<Int8Type>()?;
    let spelt = proof.values().as_string_opt::<i32>()?;
    let spelt: Vec<_> = spelt.iter().map(|spelt| proof_of(spelt?)).collect();
    let (pages, seams) = (numbers("pages")?, numbers("seams")?);
    let at = |nanos| DateTime::from_timestamp_nanos(nanos);
    Some((0..columns.len()).map(move |row| {
        Some(CommittedMeeting {
            conf_uuid: uuids.value(row).parse().ok()?,
            count: count.value(row),
            rows: rows.value(row),
            requests: requests.value(row),
            first_fetch: at(first_fetch.value(row)),
            last_fetch: at(last_fetch.value(row)),
            status: MeetingStatus::Complete,
            proof: (*spelt.get(proof.key(row)?)?)?,
            pages: pages.is_valid(row).then(|| pages.value(row)),
            seams: seams.is_valid(row).then(|| seams.value(row)),
        })
    }))
}

/// The same dictionary in every batch, as the form of the file wants it.
fn proofs(proofs: impl Iterator<Item = Proof>) -> Option<DictionaryArray<Int8Type>> {
    let key = |proof| {
        let key = PROOFS.iter().position(|known| *known == proof)?;
        i8::try_from(key).ok()
    };
    let keys = proofs.map(key).collect::<Option<Vec<_>>>()?;
    let values = StringArray::from_iter_values(PROOFS.map(Proof::as_str));
    DictionaryArray::try_new(Int8Array::from(keys), Arc::new(values)).ok()
}

fn proof_of(spelt: &str) -> Option<Proof> {
    PROOFS.into_iter().find(|proof| proof.as_str() == spelt)
}

fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(TIME_ZONE.into()))
}

fn instants(nanos: impl Iterator<Item = Option<i64>>) -> Option<TimestampNanosecondArray> {
    let nanos = nanos.collect::<Option<Vec<_>>>()?;
    Some(TimestampNanosecondArray::from(nanos).with_timezone(TIME_ZONE))
}

/// Nanoseconds since 1970, where they say all of it: a leap second and the far past have none.
fn nanos(at: DateTime<Utc>) -> Option<i64> {
    let nanos = at.timestamp_nanos_opt()?;
    (DateTime::from_timestamp_nanos(nanos) == at).then_some(nanos)
}
