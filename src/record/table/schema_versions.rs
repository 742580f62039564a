//! The versions of the tables' schemas, and what each of them has.
//!
//! A dataset outlives the rollbook that began it. What a version may change is settled so that a
//! newer rollbook extends an older dataset without touching its parts, and readers that go by the
//! names of columns read all of it as one table:
//!
//! - a version adds columns behind those that there are, and these may be null;
//! - no column changes its name, type, nullability, place or meaning, and none goes away.
//!
//! Each commit tells the versions of its parts. What is of an older version stays as it is; of a
//! newer one, an older rollbook knows neither the columns nor what they ask of it, so it refuses
//! the dataset.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use super::{Table, TableColumn};

/// A schema version for each table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchemaVersions {
    records: u32,
    meetings: u32,
}

impl SchemaVersions {
    /// Those of entries that tell none.
    pub(crate) const FIRST: Self = Self {
        records: 1,
        meetings: 1,
    };

    /// Those that this rollbook writes; it reads them and all before them.
    pub(crate) const KNOWN: Self = Self {
        records: Table::Records.schema_version(),
        meetings: Table::Meetings.schema_version(),
    };

    /// Those of parts, each told by its table and version. A table without parts is of the first.
    pub(crate) fn of(parts: impl IntoIterator<Item = (Table, u32)>) -> Self {
        let mut versions = Self::FIRST;
        for (table, version) in parts {
            let newest = match table {
                Table::Records => &mut versions.records,
                Table::Meetings => &mut versions.meetings,
            };
            *newest = version.max(*newest);
        }
        versions
    }

    /// That of a table.
    pub(crate) const fn table(self, table: Table) -> u32 {
        match table {
            Table::Records => self.records,
            Table::Meetings => self.meetings,
        }
    }

    /// Whether all are the first, which goes without saying.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde asks by reference whether a member is left out"
    )]
    pub(crate) fn are_first(&self) -> bool {
        *self == Self::FIRST
    }
}

impl Default for SchemaVersions {
    fn default() -> Self {
        Self::FIRST
    }
}

/// The schemas that a rollbook knows: the columns of its newest versions, each of which tells the
/// version that brought it.
#[derive(Clone, Debug)]
pub(crate) struct Schemas {
    pub(crate) records: Vec<TableColumn>,
    pub(crate) meetings: Vec<TableColumn>,
}

impl Schemas {
    /// Those of this rollbook.
    pub(crate) fn known() -> Self {
        Self {
            records: Table::Records.columns(),
            meetings: Table::Meetings.columns(),
        }
    }

    /// The newest version of each.
    pub(crate) fn versions(&self) -> SchemaVersions {
        let of = |table| self.columns(table).iter().map(move |it| (table, it.since));
        SchemaVersions::of(of(Table::Records).chain(of(Table::Meetings)))
    }

    /// A version of the schema of a table, without metadata.
    pub(crate) fn schema(&self, table: Table, version: u32) -> SchemaRef {
        let columns = self.columns(table).iter();
        let fields: Vec<_> = columns
            .filter(|column| column.since <= version)
            .map(TableColumn::field)
            .collect();
        Arc::new(Schema::new(fields))
    }

    fn columns(&self, table: Table) -> &[TableColumn] {
        match table {
            Table::Records => &self.records,
            Table::Meetings => &self.meetings,
        }
    }
}

impl TableColumn {
    fn field(&self) -> Field {
        Field::new(self.name, self.data_type.clone(), self.is_nullable)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    /// What a rollbook knows whose records have one column more.
    pub(crate) fn next() -> Schemas {
        let mut next = Schemas::known();
        next.records.push(TableColumn {
            name: "join_source",
            data_type: DataType::Utf8,
            is_nullable: true,
            meaning: "how the participant came in",
            has_few_values: true,
            since: SchemaVersions::KNOWN.records + 1,
        });
        next
    }

    #[test]
    fn the_newest_column_is_of_the_version_that_is_written() {
        assert_eq!(Schemas::known().versions(), SchemaVersions::KNOWN);
        for table in [Table::Records, Table::Meetings] {
            let known = Schemas::known().schema(table, table.schema_version());
            assert_eq!(known, table.schema());
        }
    }

    #[test]
    fn a_version_adds_nullable_columns_behind_the_others() {
        for columns in [Schemas::known(), next()].map(|it| [it.records, it.meetings]) {
            for column in columns.concat() {
                assert!(column.is_nullable || column.since == 1, "{}", column.name);
            }
            for columns in columns {
                assert!(columns.is_sorted_by_key(|column| column.since));
            }
        }
    }

    #[test]
    fn an_older_version_has_the_columns_it_had() {
        let next = next();
        let old = next.schema(Table::Records, SchemaVersions::KNOWN.records);
        assert_eq!(old, Table::Records.schema());
        let new = next.schema(Table::Records, next.versions().records);
        assert_eq!(new.fields().len(), old.fields().len() + 1);
    }
}
