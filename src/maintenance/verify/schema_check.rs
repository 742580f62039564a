//! Whether a part has the columns of its schema's version.

use std::collections::BTreeSet;

use arrow::datatypes::{Field, Schema, SchemaRef};

/// The key of a part's metadata that tells its schema's version.
const VERSION: &str = "rollbook.schema_version";

/// What a part tells of its schema.
#[derive(Debug)]
pub(super) enum PartSchema {
    /// Everything, and its version as metadata.
    Typed(SchemaRef),
    /// The members of its first line.
    Named(BTreeSet<String>),
    /// Nothing, as it has no line.
    Silent,
}

impl PartSchema {
    /// What is not as this version has it, if anything.
    pub(super) fn fault(&self, version: u32, expected: &Schema) -> Option<String> {
        match self {
            Self::Silent => None,
            Self::Named(found) => {
                let names = expected.fields().iter().map(|field| field.name().clone());
                let expected: BTreeSet<_> = names.collect();
                let of = |names: &mut dyn Iterator<Item = &String>| names.next().cloned();
                let missing = of(&mut expected.difference(found));
                difference(of(&mut found.difference(&expected)), missing, version)
            }
            Self::Typed(found) => {
                let told = found.metadata().get(VERSION);
                if let Some(told) = told.filter(|told| **told != version.to_string()) {
                    return Some(format!(
                        "its schema is of version {told}, its commit says {version}"
                    ));
                }
                let columns = |schema: &Schema| -> Vec<_> {
                    schema.fields().iter().map(|field| column(field)).collect()
                };
                let (found, expected) = (columns(found), columns(expected));
                let same = found.iter().zip(&expected).take_while(|(a, b)| a == b);
                let at = same.count();
                difference(found.get(at).cloned(), expected.get(at).cloned(), version)
            }
        }
    }
}

fn column(field: &Field) -> String {
    let null = if field.is_nullable() {
        ""
    } else {
        ", not null"
    };
    format!("{} ({}{null})", field.name(), field.data_type())
}

fn difference(found: Option<String>, expected: Option<String>, version: u32) -> Option<String> {
    match (found, expected) {
        (None, None) => None,
        (Some(found), None) => Some(format!(
            "it has the column {found}, which version {version} of its schema has not"
        )),
        (None, Some(expected)) => Some(format!(
            "it lacks the column {expected} of version {version} of its schema"
        )),
        (Some(found), Some(expected)) => Some(format!(
            "it has the column {found} where version {version} of its schema has {expected}"
        )),
    }
}
