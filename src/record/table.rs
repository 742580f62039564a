//! The tables of a dataset: their names, where their parts lie, and their columns.
//!
//! A dataset always has records; it has the meetings that they belong to where a run was told to
//! write them as well. What the columns of each are is defined once, in `record` and in `meetings`;
//! how they may change from version to version, in `versions`.

mod meeting_columns;
pub(crate) mod schema_versions;

pub(crate) use self::schema_versions::{SchemaVersions, Schemas};

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::schema;
use super::schema::{Column, Provenance};

pub use self::meeting_columns::MeetingColumn;

/// The folder of the meetings' parts.
pub(crate) const MEETINGS: &str = "meetings";

/// One table of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Table {
    /// The records, one row for each; their parts lie in the dataset's own folder, or in those of
    /// its partitions.
    #[default]
    Records,
    /// The meetings, one row for each; their parts lie in `meetings/`, where no reader of records
    /// looks.
    Meetings,
}

/// A column as every table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name in every format.
    pub name: &'static str,
    /// Its Arrow type.
    pub data_type: DataType,
    /// Whether a row may have no value here.
    pub is_nullable: bool,
    /// What it means, in one line.
    pub meaning: &'static str,
    /// Whether few texts come again and again.
    pub has_few_values: bool,
    /// The version of the schema that brought it.
    pub since: u32,
}

impl Table {
    /// The table whose part lies at a path in the dataset.
    pub(crate) fn of(path: &str) -> Self {
        match path.split_once('/') {
            Some((MEETINGS, _)) => Self::Meetings,
            _ => Self::Records,
        }
    }

    /// Its name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Meetings => "meetings",
        }
    }

    /// The version of the table's schema, kept in each part's metadata and, where it is not the
    /// first, in the ledger entry.
    pub const fn schema_version(self) -> u32 {
        match self {
            Self::Records => schema::SCHEMA_VERSION,
            Self::Meetings => meeting_columns::SCHEMA_VERSION,
        }
    }

    /// Its columns, in their order in every format.
    pub fn columns(self) -> Vec<TableColumn> {
        match self {
            Self::Records => Column::ALL.map(of_record).to_vec(),
            Self::Meetings => MeetingColumn::ALL.map(of_meeting).to_vec(),
        }
    }

    /// Its schema, without metadata.
    pub fn schema(self) -> SchemaRef {
        static MEETINGS: LazyLock<SchemaRef> = LazyLock::new(|| {
            let columns = Table::Meetings.columns().into_iter();
            let fields =
                columns.map(|column| Field::new(column.name, column.data_type, column.is_nullable));
            Arc::new(Schema::new(fields.collect::<Vec<_>>()))
        });
        match self {
            Self::Records => schema::schema(),
            Self::Meetings => Arc::clone(&MEETINGS),
        }
    }

    /// The key-value pairs of the metadata of its parts, in a fixed order.
    pub(crate) fn metadata(self, provenance: &Provenance) -> Vec<(&'static str, String)> {
        provenance.metadata(self.schema_version())
    }

    /// Its schema with that metadata.
    pub(crate) fn schema_with(self, provenance: &Provenance) -> SchemaRef {
        let metadata: HashMap<_, _> = self
            .metadata(provenance)
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        Arc::new(self.schema().as_ref().clone().with_metadata(metadata))
    }
}

fn of_record(column: Column) -> TableColumn {
    TableColumn {
        name: column.name(),
        data_type: column.data_type(),
        is_nullable: column.is_nullable(),
        meaning: column.meaning(),
        has_few_values: matches!(
            column,
            Column::DeviceType | Column::MediaType | Column::Anomaly
        ),
        since: 1,
    }
}

fn of_meeting(column: MeetingColumn) -> TableColumn {
    TableColumn {
        name: column.name(),
        data_type: column.data_type(),
        is_nullable: column != MeetingColumn::ConfUuid,
        meaning: column.meaning(),
        has_few_values: matches!(column, MeetingColumn::ConfType | MeetingColumn::MediaTypes),
        since: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_of_the_table_whose_folder_it_lies_in() {
        for (path, table) in [
            ("part-1-0.parquet", Table::Records),
            ("meetings/part-1-0.parquet", Table::Meetings),
            ("meetings", Table::Records),
            ("_rollbook/meetings/x", Table::Records),
        ] {
            assert_eq!(Table::of(path), table, "{path}");
        }
    }

    #[test]
    fn columns_stand_at_their_index() {
        let schema = Table::Meetings.schema();
        assert_eq!(schema.fields().len(), MeetingColumn::ALL.len());
        for (position, column) in MeetingColumn::ALL.into_iter().enumerate() {
            assert_eq!(column.index(), position);
            assert_eq!(schema.field(position).name(), column.name());
        }
    }
}
