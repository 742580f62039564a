//! `rollbook schema`: the schema of a table for whoever reads the parts.

use anyhow::Result;
use clap::{Args, ValueEnum};
use rollbook::{PartitionBy, Partitioning, Table, Warehouse, Zone, arrow_listing, json_schema};

use crate::cli::answer;
use crate::cli::args::choice;
use crate::cli::exit_code::Exit;

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Who is to read it
    #[arg(long, value_name = "FORM", default_value = "arrow")]
    format: Form,
    /// Which table: the records, or the meetings that --with-meetings writes
    #[arg(long, value_name = "TABLE", default_value = "records")]
    table: Which,
    /// With the date of the folders as a column: join-date, meeting-date or none
    ///
    /// As in `rollbook export`, of the records. No file has it: a line of NDJSON and the foreign
    /// table of GaussDB(DWS) stay as they are.
    #[arg(long, value_name = "WHAT", default_value = "none")]
    #[arg(value_parser = choice::<PartitionBy>(), hide_possible_values = true)]
    partition_by: PartitionBy,
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
        let date = Partitioning::new(self.partition_by, Zone::UTC).map(|of| of.by);
        let text = match self.format {
            Form::Arrow => arrow_listing(table, date),
            Form::JsonSchema => json_schema(table)?,
            Form::DuckDb => Warehouse::DuckDb.ddl(table, date),
            Form::Spark => Warehouse::Spark.ddl(table, date),
            Form::ClickHouse => Warehouse::ClickHouse.ddl(table, date),
            Form::Postgres => Warehouse::Postgres.ddl(table, date),
            Form::Delta => Warehouse::Delta.ddl(table, date),
            Form::GaussDb => Warehouse::GaussDb.ddl(table, date),
        };
        answer(&text)?;
        Ok(Exit::Complete)
    }
}
