//! The schema of a table as others write it: Arrow's words, JSON Schema, or the DDL of a warehouse.
//!
//! Each form is made from [`Table::columns`] alone, so that no definition can fall behind. The
//! types are those that the engine's own reader gives the columns of a Parquet part.

mod gaussdb;
mod json;

use arrow::datatypes::DataType;

use crate::table::{Table, TableColumn};

pub use json::json_schema;

/// The schema of a table in Arrow's words, a column a line.
pub fn arrow_listing(table: Table) -> String {
    let mut text = String::new();
    let columns = table.columns();
    let width = width(&columns);
    for column in columns {
        let null = if column.is_nullable {
            "null"
        } else {
            "not null"
        };
        let kind = match column.data_type {
            DataType::Timestamp(unit, Some(zone)) => format!("Timestamp({unit:?}, {zone:?})"),
            other => format!("{other:?}"),
        };
        line(
            &mut text,
            &format!(
                "{:<width$}  {kind:<29}  {null:<8}  {}",
                column.name, column.meaning
            ),
        );
    }
    text
}

/// A warehouse that is told the schema in its own DDL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warehouse {
    /// `DuckDB`.
    DuckDb,
    /// Spark SQL, over the Parquet parts where they lie.
    Spark,
    /// `ClickHouse`.
    ClickHouse,
    /// `PostgreSQL`, and what speaks its dialect.
    Postgres,
    /// Spark SQL, over a Delta table whose log lies where the Parquet parts do.
    Delta,
    /// Huawei's GaussDB(DWS): a foreign table over the Parquet parts in OBS, and a table to load
    /// them into.
    GaussDb,
}

impl Warehouse {
    /// The statements that make a table, with a comment for each column.
    pub fn ddl(self, table: Table) -> String {
        if self == Self::GaussDb {
            return gaussdb::statements(table);
        }
        let mut text = String::new();
        let columns = table.columns();
        let width = width(&columns);
        let name = name(table);
        line(&mut text, &format!("CREATE TABLE {name} ("));
        let key = self.key(table);
        for (position, column) in columns.iter().enumerate() {
            let more = position + 1 < columns.len() || key.is_some();
            let comma = if more { "," } else { "" };
            line(
                &mut text,
                &format!("    {}{comma}", self.definition(column, width)),
            );
        }
        if let Some(key) = key {
            line(&mut text, &format!("    {key}"));
        }
        line(&mut text, self.end(table));
        if self.comments_apart() {
            for column in &columns {
                let comment = quoted(column.meaning);
                let column = column.name;
                line(
                    &mut text,
                    &format!("COMMENT ON COLUMN {name}.{column} IS {comment};"),
                );
            }
        }
        text
    }

    fn definition(self, column: &TableColumn, width: usize) -> String {
        let kind = self.kind(column);
        let null = match (self, column.is_nullable) {
            (Self::ClickHouse, _) | (_, true) => "",
            (_, false) => " NOT NULL",
        };
        let comment = if self.comments_apart() {
            String::new()
        } else {
            format!(" COMMENT {}", self.literal(column.meaning))
        };
        format!("{:<width$} {kind}{null}{comment}", column.name)
    }

    fn kind(self, column: &TableColumn) -> String {
        let kind = match (&column.data_type, self) {
            (DataType::Int64, Self::ClickHouse) => "Int64",
            (DataType::Int64, _) => "BIGINT",
            (DataType::Boolean, Self::ClickHouse) => "Bool",
            (DataType::Boolean, _) => "BOOLEAN",
            (DataType::Timestamp(..), Self::ClickHouse) => "DateTime64(3, 'UTC')",
            (DataType::Timestamp(..), Self::Spark | Self::Delta) => "TIMESTAMP",
            (DataType::Timestamp(..), _) => "TIMESTAMP WITH TIME ZONE",
            (_, Self::DuckDb) => "VARCHAR",
            (_, Self::Spark | Self::Delta) => "STRING",
            (_, Self::ClickHouse) => "String",
            (_, Self::Postgres | Self::GaussDb) => "TEXT",
        };
        if self != Self::ClickHouse || !column.is_nullable {
            return kind.to_owned();
        }
        if column.has_few_values {
            format!("LowCardinality(Nullable({kind}))")
        } else {
            format!("Nullable({kind})")
        }
    }

    fn key(self, table: Table) -> Option<&'static str> {
        match (self, table) {
            (Self::DuckDb | Self::Postgres, Table::Records) => {
                Some("PRIMARY KEY (conf_uuid, record_index)")
            }
            (Self::DuckDb | Self::Postgres, Table::Meetings) => Some("PRIMARY KEY (conf_uuid)"),
            (Self::Spark | Self::Delta | Self::ClickHouse | Self::GaussDb, _) => None,
        }
    }

    fn end(self, table: Table) -> &'static str {
        match (self, table) {
            (Self::DuckDb | Self::Postgres | Self::GaussDb, _) => ");",
            (Self::Delta, Table::Records) => ")\nUSING DELTA\nLOCATION 'DEST';",
            (Self::Delta, Table::Meetings) => ")\nUSING DELTA\nLOCATION 'DEST/meetings';",
            (Self::Spark, Table::Records) => ")\nUSING PARQUET\nLOCATION 'DEST';",
            (Self::Spark, Table::Meetings) => ")\nUSING PARQUET\nLOCATION 'DEST/meetings';",
            (Self::ClickHouse, Table::Records) => {
                ")\nENGINE = MergeTree\nORDER BY (conf_uuid, record_index);"
            }
            (Self::ClickHouse, Table::Meetings) => ")\nENGINE = MergeTree\nORDER BY conf_uuid;",
        }
    }

    /// Whether comments are statements of their own.
    fn comments_apart(self) -> bool {
        matches!(self, Self::DuckDb | Self::Postgres | Self::GaussDb)
    }

    /// A text as a literal: Spark joins `'a''b'` to `ab`, the others read it as `a'b`.
    fn literal(self, text: &str) -> String {
        match self {
            Self::Spark | Self::Delta => format!("'{}'", text.replace('\'', "\\'")),
            _ => quoted(text),
        }
    }
}

/// What the table is called in a warehouse.
const fn name(table: Table) -> &'static str {
    match table {
        Table::Records => "attendance",
        Table::Meetings => "meetings",
    }
}

/// A text as a literal of the standard.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// As wide as the longest name, and as the names of records at least.
fn width(columns: &[TableColumn]) -> usize {
    let widest = columns.iter().map(|column| column.name.len()).max();
    widest.unwrap_or_default().max(12)
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrow() {
        insta::assert_snapshot!(arrow_listing(Table::Records));
    }

    #[test]
    fn duckdb() {
        insta::assert_snapshot!(Warehouse::DuckDb.ddl(Table::Records));
    }

    #[test]
    fn spark() {
        insta::assert_snapshot!(Warehouse::Spark.ddl(Table::Records));
    }

    #[test]
    fn clickhouse() {
        insta::assert_snapshot!(Warehouse::ClickHouse.ddl(Table::Records));
    }

    #[test]
    fn postgres() {
        insta::assert_snapshot!(Warehouse::Postgres.ddl(Table::Records));
    }

    #[test]
    fn delta() {
        insta::assert_snapshot!(Warehouse::Delta.ddl(Table::Records));
    }

    #[test]
    fn the_meetings_table_in_every_form() {
        let mut text = arrow_listing(Table::Meetings);
        for warehouse in [
            Warehouse::DuckDb,
            Warehouse::Spark,
            Warehouse::ClickHouse,
            Warehouse::Postgres,
            Warehouse::Delta,
        ] {
            text.push('\n');
            text.push_str(&warehouse.ddl(Table::Meetings));
        }
        insta::assert_snapshot!(text);
    }
}
