//! The schema of a table as others write it: Arrow's words, JSON Schema, or the DDL of a warehouse.
//!
//! Each form is made from [`Table::columns`] alone, so that no definition can fall behind. The
//! types are those that the engine's own reader gives the columns of a Parquet part.

mod gaussdb;
mod json_schema;

use arrow::datatypes::DataType;

use super::partition::DateOf;
use super::table::{Table, TableColumn};

pub use self::json_schema::json_schema;

/// The schema of a table in Arrow's words, a column a line. Of partitioned records the last one is
/// that of their folders.
pub fn arrow_listing(table: Table, partitions: Option<DateOf>) -> String {
    let mut text = String::new();
    let columns = columns(table, partitions);
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
    /// The statements that make a table, with a comment for each column. Of partitioned records the
    /// last one is that of their folders; GaussDB(DWS) is brought the files alone.
    pub fn ddl(self, table: Table, partitions: Option<DateOf>) -> String {
        if self == Self::GaussDb {
            return gaussdb::statements(table);
        }
        let mut text = String::new();
        let columns = columns(table, partitions);
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
        let folders = partitions.filter(|_| table == Table::Records);
        let end = self.end(table);
        match (self, folders) {
            (Self::Spark | Self::Delta, Some(date)) => {
                let by = format!("\nPARTITIONED BY ({})\nLOCATION", date.column());
                line(&mut text, &end.replace("\nLOCATION", &by));
                if self == Self::Spark {
                    // It knows the folders that it was told of alone.
                    line(&mut text, &format!("MSCK REPAIR TABLE {name};"));
                }
            }
            _ => line(&mut text, end),
        }
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
            (DataType::Date32, Self::ClickHouse) => "Date32",
            (DataType::Date32, _) => "DATE",
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

/// The columns of a table, with that of the folders that its parts lie in.
fn columns(table: Table, partitions: Option<DateOf>) -> Vec<TableColumn> {
    let mut columns = table.columns();
    let date = partitions.filter(|_| table == Table::Records);
    columns.extend(date.map(|date| TableColumn {
        name: date.column(),
        data_type: DataType::Date32,
        is_nullable: true,
        meaning: date.meaning(),
        has_few_values: false,
        since: 1,
    }));
    columns
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
        insta::assert_snapshot!(arrow_listing(Table::Records, None));
    }

    #[test]
    fn duckdb() {
        insta::assert_snapshot!(Warehouse::DuckDb.ddl(Table::Records, None));
    }

    #[test]
    fn spark() {
        insta::assert_snapshot!(Warehouse::Spark.ddl(Table::Records, None));
    }

    #[test]
    fn clickhouse() {
        insta::assert_snapshot!(Warehouse::ClickHouse.ddl(Table::Records, None));
    }

    #[test]
    fn postgres() {
        insta::assert_snapshot!(Warehouse::Postgres.ddl(Table::Records, None));
    }

    #[test]
    fn delta() {
        insta::assert_snapshot!(Warehouse::Delta.ddl(Table::Records, None));
    }

    #[test]
    fn the_meetings_table_in_every_form() {
        let mut text = arrow_listing(Table::Meetings, None);
        for warehouse in [
            Warehouse::DuckDb,
            Warehouse::Spark,
            Warehouse::ClickHouse,
            Warehouse::Postgres,
            Warehouse::Delta,
        ] {
            text.push('\n');
            text.push_str(&warehouse.ddl(Table::Meetings, None));
        }
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_date_of_the_folders_is_the_last_column_of_the_records_alone() {
        let mut text = String::new();
        for date in [DateOf::Join, DateOf::Meeting] {
            text.push_str(&arrow_listing(Table::Records, Some(date)));
        }
        for warehouse in [
            Warehouse::DuckDb,
            Warehouse::Spark,
            Warehouse::ClickHouse,
            Warehouse::Postgres,
            Warehouse::Delta,
        ] {
            let date = Some(DateOf::Join);
            let ddl = warehouse.ddl(Table::Records, date);
            let shown = ddl.lines().filter(|line| {
                ["extra ", "join_date", "USING", "LOCATION", "ORDER", "MSCK"]
                    .iter()
                    .any(|word| line.contains(word))
            });
            shown.for_each(|shown| line(&mut text, shown));
            let meetings = warehouse.ddl(Table::Meetings, None);
            assert_eq!(warehouse.ddl(Table::Meetings, date), meetings);
        }
        insta::assert_snapshot!(text);
    }
}
