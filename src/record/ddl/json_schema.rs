//! The schema of a line of NDJSON, as JSON Schema.
//!
//! It outlives its version in both directions: a line of a later version has further members, which
//! are allowed; a line of an earlier one lacks those that came later, which are not required.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::record::table::{Table, TableColumn};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// The schema of a line of a table's NDJSON parts, as JSON Schema of the draft 2020-12.
///
/// # Errors
///
/// None is known: nothing in it cannot be written.
pub fn json_schema(table: Table) -> Result<String> {
    let columns = table.columns();
    let schema = JsonSchema {
        dialect: DIALECT,
        title: format!(
            "rollbook {}, version {}",
            table.as_str(),
            table.schema_version()
        ),
        description: "One line of NDJSON. A later version may add members; those of the first are on \
                      each line, null or not.",
        kind: "object",
        required: columns
            .iter()
            .filter(|column| column.since == 1)
            .map(|column| column.name)
            .collect(),
        properties: Properties(&columns),
        additional_properties: true,
    };
    let mut text = serde_json::to_string_pretty(&schema).map_err(|error| Error::Encode {
        format: "a JSON schema",
        source: error.into(),
    })?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonSchema<'a> {
    #[serde(rename = "$schema")]
    dialect: &'static str,
    title: String,
    description: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    properties: Properties<'a>,
    required: Vec<&'static str>,
    additional_properties: bool,
}

/// The columns in their order, which an object of `serde_json` would lose.
struct Properties<'a>(&'a [TableColumn]);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|column| (column.name, property(column))))
    }
}

fn property(column: &TableColumn) -> BTreeMap<&'static str, Value> {
    let kind = match column.data_type {
        DataType::Int64 => "integer",
        DataType::Boolean => "boolean",
        _ => "string",
    };
    let kind = if column.is_nullable {
        json!([kind, "null"])
    } else {
        json!(kind)
    };
    let mut property = BTreeMap::from([("type", kind), ("description", json!(column.meaning))]);
    if let DataType::Timestamp(..) = column.data_type {
        property.insert("format", json!("date-time"));
    }
    property
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_records_and_of_meetings() {
        let schemas = [Table::Records, Table::Meetings].map(|table| json_schema(table).unwrap());
        insta::assert_snapshot!(schemas.concat());
    }
}
