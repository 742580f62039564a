//! The column that is in the parts' paths instead of their files, as `name=value/`: the date that
//! tells partitions apart.

use std::collections::BTreeMap;

use delta_kernel::schema::{DataType, StructField};

use crate::record::partition::{DateOf, partition_of_part};

/// The column of dates that tell the records apart; null where a record or its meeting has none.
pub(super) fn field(by: DateOf) -> StructField {
    let field = StructField::nullable(by.column(), DataType::DATE);
    field.with_metadata([("comment", by.meaning())])
}

/// The values in a part's path, by column, as Delta writes them.
pub(super) fn values(path: &str) -> BTreeMap<&'static str, Option<String>> {
    let value = partition_of_part(path);
    let value = value.map(|(column, date)| (column, date.map(|date| date.to_string())));
    value.into_iter().collect()
}
