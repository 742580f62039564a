//! What loads a table into GaussDB(DWS) from OBS: a foreign table over the parts, a table of its
//! own, and the statement that takes over the meetings which are not there yet.
//!
//! By its documentation the warehouse reads all objects of a folder, wants the columns of the
//! foreign table to be those of the files, and knows no time zone in a foreign table: there a time
//! is that of UTC, and becomes an instant on its way into the other.

use arrow::datatypes::DataType;

use super::{line, name, quoted, width};
use crate::record::table::{Table, TableColumn};

pub(super) fn statements(table: Table) -> String {
    let mut text = String::new();
    let columns = table.columns();
    let name = name(table);
    let source = format!("{name}_obs");

    line(&mut text, &format!("CREATE FOREIGN TABLE {source} ("));
    definitions(&mut text, &columns, "TIMESTAMP");
    line(&mut text, ")\nSERVER obs_server");
    let folder = format!("/BUCKET/{name}/");
    line(
        &mut text,
        &format!("OPTIONS (encoding 'utf8', format 'parquet', foldername '{folder}')"),
    );
    line(&mut text, "READ ONLY\nDISTRIBUTE BY ROUNDROBIN;\n");

    line(&mut text, &format!("CREATE TABLE {name} ("));
    definitions(&mut text, &columns, "TIMESTAMP WITH TIME ZONE");
    line(&mut text, ")\nWITH (ORIENTATION = COLUMN)");
    line(&mut text, "DISTRIBUTE BY HASH (conf_uuid);");
    for column in &columns {
        let meaning = quoted(column.meaning);
        let column = column.name;
        line(
            &mut text,
            &format!("COMMENT ON COLUMN {name}.{column} IS {meaning};"),
        );
    }

    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    let values: Vec<_> = columns.iter().map(value).collect();
    line(
        &mut text,
        &format!("\nINSERT INTO {name} (\n    {}", names.join(",\n    ")),
    );
    line(
        &mut text,
        &format!(")\nSELECT\n    {}", values.join(",\n    ")),
    );
    line(&mut text, &format!("FROM {source} AS source"));
    line(
        &mut text,
        &format!(
            "WHERE NOT EXISTS (\n    SELECT 1 FROM {name} AS there WHERE there.conf_uuid = \
             source.conf_uuid\n);"
        ),
    );
    text
}

fn definitions(text: &mut String, columns: &[TableColumn], time: &str) {
    let width = width(columns);
    for (position, column) in columns.iter().enumerate() {
        let kind = match column.data_type {
            DataType::Int64 => "BIGINT",
            DataType::Boolean => "BOOLEAN",
            DataType::Timestamp(..) => time,
            _ => "TEXT",
        };
        let null = if column.is_nullable { "" } else { " NOT NULL" };
        let comma = if position + 1 < columns.len() {
            ","
        } else {
            ""
        };
        line(
            text,
            &format!("    {:<width$} {kind}{null}{comma}", column.name),
        );
    }
}

fn value(column: &TableColumn) -> String {
    match column.data_type {
        DataType::Timestamp(..) => format!("{} AT TIME ZONE 'UTC'", column.name),
        _ => column.name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_records_and_of_meetings() {
        let statements = [Table::Records, Table::Meetings].map(statements);
        insta::assert_snapshot!(statements.join("\n"));
    }
}
