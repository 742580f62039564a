//! A short look at a dataset of Parquet parts: enough to see what one has, and how to go on.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use arrow::array::{Array, AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use chrono::DateTime;
use indicatif::{HumanBytes, HumanCount};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rollbook::Column;

use crate::cli::terminal::{Align, Table, shortened};

/// Records that are shown.
const SHOWN: usize = 6;

/// Meetings that are shown.
const TOP: usize = 5;

/// Columns that a name may take.
const NAME: usize = 20;

/// What a walk over the parts adds up.
#[derive(Debug, Default)]
struct Sums {
    records: u64,
    duration_ms: i64,
    by_meeting: HashMap<String, u64>,
    anomalies: BTreeMap<String, u64>,
}

/// Describes the parts of a dataset.
pub(super) fn describe(folder: &Path) -> Result<String> {
    let parts = parts(folder)?;
    let mut sums = Sums::default();
    let mut sample = Table::new(&[Align::Left; 6]);
    sample.row([
        "conf_uuid",
        "display_name",
        "device_type",
        "join_time",
        "left_time",
        "duration",
    ]);
    let mut shown = 0;
    let mut bytes = 0;
    for path in &parts {
        let context = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(context)?;
        bytes += file.metadata().with_context(context)?.len();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .and_then(ParquetRecordBatchReaderBuilder::build)
            .with_context(context)?;
        for batch in reader {
            let batch = batch.with_context(context)?;
            let rows = batch.num_rows().min(SHOWN - shown);
            for row in 0..rows {
                sample.row(cells(&batch, row));
            }
            shown += rows;
            sums.add(&batch);
        }
    }
    let found = format!(
        "\n{} records in {} {}, {}; the first:\n\n",
        HumanCount(sums.records),
        parts.len(),
        if parts.len() == 1 { "part" } else { "parts" },
        HumanBytes(bytes),
    );
    let to_go_on = format!(
        "\nto go on:\n  rollbook verify {folder}\n  duckdb -c \"SELECT device_type, count(*) AS \
         records, sum(duration_ms) // 3600000 AS hours FROM '{folder}/part-*.parquet' GROUP BY \
         ALL ORDER BY records DESC\"\n",
        folder = folder.display()
    );
    Ok([found, sample.render(), sums.render(), to_go_on].concat())
}

fn parts(folder: &Path) -> Result<Vec<PathBuf>> {
    let context = || format!("cannot list {}", folder.display());
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "parquet")
        {
            parts.push(path);
        }
    }
    parts.sort();
    Ok(parts)
}

impl Sums {
    fn add(&mut self, batch: &RecordBatch) {
        self.records += batch.num_rows() as u64;
        let meetings = batch.column(Column::ConfUuid.index()).as_string::<i32>();
        for meeting in meetings.iter().flatten() {
            match self.by_meeting.get_mut(meeting) {
                Some(records) => *records += 1,
                None => drop(self.by_meeting.insert(meeting.to_owned(), 1)),
            }
        }
        let durations = batch.column(Column::DurationMs.index());
        let durations = durations.as_primitive::<Int64Type>().iter().flatten();
        self.duration_ms += durations.sum::<i64>();
        let anomalies = batch.column(Column::Anomaly.index()).as_string::<i32>();
        for anomaly in anomalies.iter().flatten() {
            *self.anomalies.entry(anomaly.to_owned()).or_insert(0) += 1;
        }
    }

    fn render(&self) -> String {
        let mut top: Vec<_> = self.by_meeting.iter().collect();
        top.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let mut table = Table::new(&[Align::Left, Align::Right]);
        for (meeting, records) in top.into_iter().take(TOP) {
            table.row([meeting.clone(), HumanCount(*records).to_string()]);
        }
        let odd: Vec<_> = self
            .anomalies
            .iter()
            .map(|(anomaly, records)| format!("{} {anomaly}", HumanCount(*records)))
            .collect();
        let hours = HumanCount(u64::try_from(self.duration_ms / 3_600_000).unwrap_or(0));
        format!(
            "\nthe largest meetings by records:\n\n{}\n{hours} hours of attendance; odd times: {}\n",
            table.render(),
            if odd.is_empty() {
                "none".to_owned()
            } else {
                odd.join(", ")
            }
        )
    }
}

fn cells(batch: &RecordBatch, row: usize) -> [String; 6] {
    [
        shortened(text(batch, Column::ConfUuid, row), 12),
        shortened(text(batch, Column::DisplayName, row), NAME),
        shortened(text(batch, Column::DeviceType, row), NAME),
        time(batch, Column::JoinTime, row),
        time(batch, Column::LeftTime, row),
        duration(batch, row),
    ]
}

fn text(batch: &RecordBatch, column: Column, row: usize) -> &str {
    let texts = batch.column(column.index()).as_string::<i32>();
    if texts.is_null(row) {
        ""
    } else {
        texts.value(row)
    }
}

fn time(batch: &RecordBatch, column: Column, row: usize) -> String {
    let times = batch.column(column.index());
    let times = times.as_primitive::<TimestampMillisecondType>();
    if times.is_null(row) {
        return "null".to_owned();
    }
    DateTime::from_timestamp_millis(times.value(row)).map_or_else(String::new, |time| {
        time.format("%Y-%m-%d %H:%M:%SZ").to_string()
    })
}

fn duration(batch: &RecordBatch, row: usize) -> String {
    let durations = batch
        .column(Column::DurationMs.index())
        .as_primitive::<Int64Type>();
    if durations.is_null(row) {
        return "null".to_owned();
    }
    let seconds = durations.value(row) / 1_000;
    format!(
        "{}:{:02}:{:02}",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Int64Array, StringArray, TimestampMillisecondArray, new_null_array,
    };
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn column(column: Column) -> ArrayRef {
        let times = |left| {
            let times = TimestampMillisecondArray::from(vec![Some(1_574_119_917_872), left]);
            Arc::new(times.with_timezone(rollbook::TIME_ZONE))
        };
        match column {
            Column::ConfUuid => Arc::new(StringArray::from(vec!["9a0fa6d10a5b11ea"; 2])),
            Column::RecordIndex => Arc::new(Int64Array::from(vec![0, 1])),
            Column::DisplayName => Arc::new(StringArray::from(vec![
                "李雷",
                "Han\u{1b}[2J Meimei of the long name",
            ])),
            Column::JoinTime => times(Some(1_574_119_917_872)),
            Column::LeftTime => times(None),
            Column::DurationMs => Arc::new(Int64Array::from(vec![Some(7_384_000), None])),
            Column::Anomaly => Arc::new(StringArray::from(vec![None, Some("missing_left")])),
            other => new_null_array(&other.data_type(), 2),
        }
    }

    #[test]
    fn a_dataset_is_described_at_a_glance() {
        let folder = tempfile::tempdir().unwrap();
        let columns = Column::ALL.map(column).to_vec();
        let batch = RecordBatch::try_new(rollbook::schema(), columns).unwrap();
        let file = File::create(folder.path().join("part-1-0.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let bytes = writer.into_inner().unwrap().metadata().unwrap().len();
        let text = describe(folder.path()).unwrap();
        let text = text
            .replace(&folder.path().display().to_string(), "DEST")
            .replace(&HumanBytes(bytes).to_string(), "SIZE");
        insta::assert_snapshot!(text);
    }
}
