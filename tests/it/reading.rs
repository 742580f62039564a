//! The README's lines for readers, and what `rollbook schema` prints, run by those whom they are for
//! against a dataset of both tables.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use rollbook::Table;
use rollbook::simulator::Options;
use serde_json::{Value, json};

use crate::readme::{README, block};
use crate::stage::Stage;
use crate::venv;

/// The README's lines for readers: their names, the language, and how they begin.
const READERS: [(&str, &str, &str); 6] = [
    ("duckdb", "sql", "-- DuckDB\n"),
    ("polars", "python", "# Polars\n"),
    ("pandas", "python", "# pandas\n"),
    ("pyarrow", "python", "# pyarrow\n"),
    ("clickhouse", "sql", "-- ClickHouse\n"),
    ("spark", "python", "# Spark\n"),
];

/// The lines for a reader.
pub(crate) fn lines_for(reader: &str) -> &'static str {
    let (_, language, begins) = READERS.iter().find(|(name, ..)| *name == reader).unwrap();
    block(language, begins)
}

/// The same lines where they count the values of a column that a newer rollbook adds, instead of
/// summing one that is there.
pub(crate) fn counting(lines: &str) -> String {
    for word in ["duration_ms", "sum"] {
        assert!(lines.contains(word), "{lines}");
    }
    lines
        .replace("duration_ms", "join_source")
        .replace("sum", "count")
}

/// The lines for each reader but Spark, which is asked on its own.
pub(crate) fn lines() -> BTreeMap<&'static str, String> {
    let names = READERS.iter().map(|(name, ..)| *name);
    names
        .filter(|name| *name != "spark")
        .map(|name| (name, lines_for(name).to_owned()))
        .collect()
}

/// A dataset of both tables in several parts, `attendance`, and the same as NDJSON, `lines`.
pub(crate) struct Lake {
    pub(crate) stage: Stage,
}

impl Lake {
    pub(crate) fn new() -> Self {
        let mut options = Options::sizes(&[3, 0, 1_200, 40, 260]);
        for meeting in &mut options.meetings {
            meeting.odd_every = Some(7);
        }
        let stage = Stage::with(options);
        for (out, format) in [("attendance", "parquet"), ("lines", "ndjson")] {
            let window = ["--since", "2026-01-01", "--until", "2026-01-31"];
            let export = ["export", "--with-meetings", "--part-rows", "50"];
            let into = ["--out", out, "--format", format];
            stage.run(&[&export[..], &window, &into].concat()).with(0);
        }
        assert!(stage.parts("attendance").len() > 1);
        Self { stage }
    }

    /// The lines of a table.
    pub(crate) fn rows(&self, table: Table) -> Vec<Value> {
        let folder = match table {
            Table::Records => "lines",
            Table::Meetings => "lines/meetings",
        };
        let parts = self.stage.parts(folder).into_values();
        parts
            .flat_map(|part| {
                let text = String::from_utf8(part).unwrap();
                let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
                lines.collect::<Vec<_>>()
            })
            .collect()
    }

    /// What the README's lines must find.
    pub(crate) fn attended(&self) -> Value {
        attended(
            &self.rows(Table::Meetings),
            &self.rows(Table::Records),
            |row| row["duration_ms"].as_i64().unwrap_or_default(),
        )
    }

    /// The comments of a table's columns, its rows, its meetings, and its least time.
    pub(crate) fn filled(&self, table: Table) -> Value {
        let rows = self.rows(table);
        let time = match table {
            Table::Records => "join_time",
            Table::Meetings => "start_time",
        };
        let times = rows.iter().filter_map(|row| row[time].as_str());
        let least = times.map(|time| DateTime::parse_from_rfc3339(time).unwrap());
        let uuids: BTreeSet<_> = rows.iter().map(|row| row["conf_uuid"].as_str()).collect();
        json!([
            comments(table),
            rows.len(),
            uuids.len(),
            least.min().unwrap().timestamp_millis()
        ])
    }
}

/// A row for each meeting: its UUID, its subject, how many records it has, and the sum of what is
/// asked of each.
pub(crate) fn attended(meetings: &[Value], records: &[Value], of: fn(&Value) -> i64) -> Value {
    let mut rows: Vec<_> = meetings
        .iter()
        .map(|meeting| {
            let own = records
                .iter()
                .filter(|record| record["conf_uuid"] == meeting["conf_uuid"]);
            let uuid = meeting["conf_uuid"].as_str().unwrap();
            let subject = meeting["subject"].as_str().unwrap();
            (uuid, subject, own.clone().count(), own.map(of).sum::<i64>())
        })
        .collect();
    rows.sort_unstable();
    json!(rows)
}

pub(crate) fn comments(table: Table) -> BTreeMap<&'static str, &'static str> {
    let columns = table.columns().into_iter();
    columns
        .map(|column| (column.name, column.meaning))
        .collect()
}

/// What the command prints of the schema of both tables, records first.
pub(crate) fn schema(stage: &Stage, form: &str) -> [String; 2] {
    ["records", "meetings"].map(|table| {
        let ended = stage.run(&["schema", "--format", form, "--table", table]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.answer().to_owned()
    })
}

#[test]
fn the_lines_of_the_readme_read_a_dataset() {
    let lake = Lake::new();
    let folder = lake.stage.folder.path().to_str().unwrap();
    let found = venv::ask("reading.py", &[folder], &json!(lines()));
    let truth = lake.attended();
    assert_eq!(truth.as_array().unwrap().len(), 5);
    for name in lines().keys() {
        assert_eq!(found[name], truth, "{name}");
    }
}

#[test]
fn the_statements_of_the_schema_make_tables_that_take_the_rows() {
    let lake = Lake::new();
    let forms = ["duckdb", "clickhouse", "postgres", "gaussdb"];
    let jobs: BTreeMap<_, _> = forms
        .iter()
        .map(|form| (form, schema(&lake.stage, form)))
        .collect();
    let folder = lake.stage.folder.path().to_str().unwrap();
    let found = venv::ask("statements.py", &[folder], &json!(jobs));
    for form in forms {
        for (name, table) in [
            ("attendance", Table::Records),
            ("meetings", Table::Meetings),
        ] {
            assert_eq!(found[form][name], lake.filled(table), "{form} {name}");
        }
    }
}

#[test]
fn lines_are_as_the_json_schema_has_them_and_no_others() {
    let lake = Lake::new();
    let schemas = schema(&lake.stage, "json-schema");
    let schemas = schemas.map(|text| serde_json::from_str::<Value>(&text).unwrap());
    let tables = [Table::Records, Table::Meetings].map(|table| lake.rows(table));
    let jobs = schemas.iter().zip(&tables).map(|(schema, rows)| {
        let lines = rows.iter().map(Value::to_string);
        json!([schema, lines.collect::<Vec<_>>()])
    });
    let told = venv::ask("lines.py", &[], &jobs.collect());
    for (told, rows) in told.as_array().unwrap().iter().zip(&tables) {
        assert_eq!(*told, json!(vec![Value::Null; rows.len()]));
    }

    let sound = &tables[0][0];
    let with = |member: &str, value: Value| {
        let mut line = sound.clone();
        line[member] = value;
        line.to_string()
    };
    let mut short = sound.clone();
    short.as_object_mut().unwrap().remove("extra");
    let lines = [
        // A later version of the schema has more.
        with("join_source", json!("link")),
        short.to_string(),
        with("conf_uuid", json!(null)),
        with("record_index", json!("7")),
        with("join_time", json!("2026-01-05 03:09:29")),
        with("duration_ms", json!(0.5)),
    ];
    let told = venv::ask("lines.py", &[], &json!([[schemas[0], lines]]));
    let errors = told[0].as_array().unwrap();
    assert_eq!(errors[0], Value::Null);
    assert!(errors[1..].iter().all(Value::is_string), "{errors:?}");
}

#[test]
fn the_readme_names_each_form_of_the_schema() {
    let (_, section) = README.split_once("## Reading it").unwrap();
    let stage = Stage::of(&[]);
    let help = stage.run(&["schema", "-h"]);
    let (_, values) = help.answer().split_once("[possible values: ").unwrap();
    let (values, _) = values.split_once(']').unwrap();
    let forms: Vec<_> = values.split(',').map(str::trim).collect();
    assert!(forms.len() > 7, "{forms:?}");
    for form in forms {
        let is_named = [format!("`{form}`"), format!("--format {form}`")]
            .iter()
            .any(|name| section.contains(name));
        assert!(is_named, "{form}");
    }
}
