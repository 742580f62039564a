//! `rollbook schema`: the record schema for whoever reads the parts.

use anyhow::Result;
use clap::{Args, ValueEnum};
use rollbook::{Warehouse, arrow_listing};

use super::answer;
use super::exit::Exit;

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Who is to read it
    #[arg(long, value_name = "FORM", default_value = "arrow")]
    format: Form,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Arrow,
    #[value(name = "duckdb")]
    DuckDb,
    Spark,
    #[value(name = "clickhouse")]
    ClickHouse,
    Postgres,
}

impl SchemaArgs {
    pub(crate) fn run(self) -> Result<Exit> {
        let text = match self.format {
            Form::Arrow => arrow_listing(),
            Form::DuckDb => Warehouse::DuckDb.ddl(),
            Form::Spark => Warehouse::Spark.ddl(),
            Form::ClickHouse => Warehouse::ClickHouse.ddl(),
            Form::Postgres => Warehouse::Postgres.ddl(),
        };
        answer(&text)?;
        Ok(Exit::Complete)
    }
}
