//! `rollbook schema`: the schema of a table for whoever reads the parts.

use anyhow::Result;
use clap::{Args, ValueEnum};
use rollbook::{Table, Warehouse, arrow_listing, json_schema};

use super::answer;
use super::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Who is to read it
    #[arg(long, value_name = "FORM", default_value = "arrow")]
    format: Form,
    /// Which table: the records, or the meetings that --with-meetings writes
    #[arg(long, value_name = "TABLE", default_value = "records")]
    table: Which,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Which {
    Records,
    Meetings,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Arrow,
    JsonSchema,
    #[value(name = "duckdb")]
    DuckDb,
    Spark,
    #[value(name = "clickhouse")]
    ClickHouse,
    Postgres,
    Delta,
    #[value(name = "gaussdb")]
    GaussDb,
}

impl SchemaArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        let table = match self.table {
            Which::Records => Table::Records,
            Which::Meetings => Table::Meetings,
        };
        let text = match self.format {
            Form::Arrow => arrow_listing(table),
            Form::JsonSchema => json_schema(table)?,
            Form::DuckDb => Warehouse::DuckDb.ddl(table),
            Form::Spark => Warehouse::Spark.ddl(table),
            Form::ClickHouse => Warehouse::ClickHouse.ddl(table),
            Form::Postgres => Warehouse::Postgres.ddl(table),
            Form::Delta => Warehouse::Delta.ddl(table),
            Form::GaussDb => Warehouse::GaussDb.ddl(table),
        };
        answer(&text)?;
        Ok(Exit::Complete)
    }
}
