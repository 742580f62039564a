//! The record schema as others write it: Arrow's words, or the DDL of a warehouse.
//!
//! Each form is made from [`Column`] alone, so that no table definition can fall behind. The
//! types are those that the engine's own reader gives the columns of a Parquet part.

use arrow::datatypes::DataType;

use crate::record::Column;

/// The name of the table in each DDL.
const TABLE: &str = "attendance";

/// The record schema in Arrow's words, a column a line.
pub fn arrow_listing() -> String {
    let mut text = String::new();
    for column in Column::ALL {
        let null = if column.is_nullable() {
            "null"
        } else {
            "not null"
        };
        let kind = match column.data_type() {
            DataType::Timestamp(unit, Some(zone)) => format!("Timestamp({unit:?}, {zone:?})"),
            other => format!("{other:?}"),
        };
        line(
            &mut text,
            &format!(
                "{:<12}  {kind:<29}  {null:<8}  {}",
                column.name(),
                column.meaning()
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
}

impl Warehouse {
    /// The statements that make a table for records.
    pub fn ddl(self) -> String {
        let mut text = String::new();
        line(&mut text, &format!("CREATE TABLE {TABLE} ("));
        let key = self.key();
        for (position, column) in Column::ALL.into_iter().enumerate() {
            let more = position + 1 < Column::ALL.len() || key.is_some();
            let comma = if more { "," } else { "" };
            line(
                &mut text,
                &format!("    {}{comma}", self.definition(column)),
            );
        }
        if let Some(key) = key {
            line(&mut text, &format!("    {key}"));
        }
        line(&mut text, self.end());
        if self.comments_apart() {
            for column in Column::ALL {
                let comment = self.quoted(column.meaning());
                let name = column.name();
                line(
                    &mut text,
                    &format!("COMMENT ON COLUMN {TABLE}.{name} IS {comment};"),
                );
            }
        }
        text
    }

    fn definition(self, column: Column) -> String {
        let kind = self.kind(column);
        let null = match (self, column.is_nullable()) {
            (Self::ClickHouse, _) | (_, true) => "",
            (_, false) => " NOT NULL",
        };
        let comment = if self.comments_apart() {
            String::new()
        } else {
            format!(" COMMENT {}", self.quoted(column.meaning()))
        };
        format!("{:<12} {kind}{null}{comment}", column.name())
    }

    fn kind(self, column: Column) -> String {
        let kind = match (column.data_type(), self) {
            (DataType::Int64, Self::ClickHouse) => "Int64",
            (DataType::Int64, _) => "BIGINT",
            (DataType::Timestamp(..), Self::ClickHouse) => "DateTime64(3, 'UTC')",
            (DataType::Timestamp(..), Self::Spark) => "TIMESTAMP",
            (DataType::Timestamp(..), _) => "TIMESTAMP WITH TIME ZONE",
            (_, Self::DuckDb) => "VARCHAR",
            (_, Self::Spark) => "STRING",
            (_, Self::ClickHouse) => "String",
            (_, Self::Postgres) => "TEXT",
        };
        if self != Self::ClickHouse || !column.is_nullable() {
            return kind.to_owned();
        }
        let has_few_values = matches!(
            column,
            Column::DeviceType | Column::MediaType | Column::Anomaly
        );
        if has_few_values {
            format!("LowCardinality(Nullable({kind}))")
        } else {
            format!("Nullable({kind})")
        }
    }

    fn key(self) -> Option<&'static str> {
        match self {
            Self::DuckDb | Self::Postgres => Some("PRIMARY KEY (conf_uuid, record_index)"),
            Self::Spark | Self::ClickHouse => None,
        }
    }

    fn end(self) -> &'static str {
        match self {
            Self::DuckDb | Self::Postgres => ");",
            Self::Spark => ")\nUSING PARQUET\nLOCATION 'DEST';",
            Self::ClickHouse => ")\nENGINE = MergeTree\nORDER BY (conf_uuid, record_index);",
        }
    }

    /// Whether comments are statements of their own.
    fn comments_apart(self) -> bool {
        matches!(self, Self::DuckDb | Self::Postgres)
    }

    /// A text as a literal: Spark joins `'a''b'` to `ab`, the others read it as `a'b`.
    fn quoted(self, text: &str) -> String {
        let quote = if self == Self::Spark { "\\'" } else { "''" };
        format!("'{}'", text.replace('\'', quote))
    }
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
        insta::assert_snapshot!(arrow_listing());
    }

    #[test]
    fn duckdb() {
        insta::assert_snapshot!(Warehouse::DuckDb.ddl());
    }

    #[test]
    fn spark() {
        insta::assert_snapshot!(Warehouse::Spark.ddl());
    }

    #[test]
    fn clickhouse() {
        insta::assert_snapshot!(Warehouse::ClickHouse.ddl());
    }

    #[test]
    fn postgres() {
        insta::assert_snapshot!(Warehouse::Postgres.ddl());
    }
}
