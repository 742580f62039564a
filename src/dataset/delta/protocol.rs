//! The commit that makes a table, with the lowest protocol versions that it needs.
//!
//! The kernel gives every new table reader version 3 and writer version 7, which list their features,
//! also where there is none to list. Reader version 1 and writer version 2 say the same of a table
//! that uses no other feature than theirs (`appendOnly`, `invariants`), and older readers know them.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, Schema};
use delta_kernel::committer::{
    CommitMetadata, CommitResponse, Committer, FileSystemCommitter, PublishMetadata,
};
use delta_kernel::engine::arrow_data::{ArrowEngineData, EngineDataArrowExt};
use delta_kernel::{Engine, FilteredEngineData, KernelResult, KernelResultIterator};

/// The action, and its members.
const PROTOCOL: &str = "protocol";
const VERSIONS: [(&str, i32); 2] = [("minReaderVersion", 1), ("minWriterVersion", 2)];
const FEATURES: [(&str, &[&str]); 2] = [
    ("readerFeatures", &[]),
    ("writerFeatures", &["appendOnly", "invariants"]),
];

/// Commits to the log's folder as the kernel does, but for the protocol.
#[derive(Debug)]
pub(super) struct LowestProtocol;

impl Committer for LowestProtocol {
    fn commit(
        &self,
        engine: &dyn Engine,
        actions: KernelResultIterator<'_, FilteredEngineData>,
        metadata: CommitMetadata,
    ) -> KernelResult<CommitResponse> {
        let actions = actions.map(|actions| actions.and_then(lowered));
        FileSystemCommitter::new().commit(engine, Box::new(actions), metadata)
    }

    fn is_catalog_committer(&self) -> bool {
        false
    }

    fn publish(&self, engine: &dyn Engine, metadata: PublishMetadata) -> KernelResult<()> {
        FileSystemCommitter::new().publish(engine, metadata)
    }
}

/// These actions; where they are the protocol, with its lowest versions.
fn lowered(actions: FilteredEngineData) -> KernelResult<FilteredEngineData> {
    let (data, selected) = actions.into_parts();
    let actions = data.try_into_record_batch()?;
    let actions = match lowest(&actions)? {
        Some(lowest) => lowest,
        None => actions,
    };
    FilteredEngineData::try_new(Box::new(ArrowEngineData::new(actions)), selected)
}

/// The protocol with its lowest versions; nothing where the actions are none, or it has features
/// that those versions have not.
fn lowest(actions: &RecordBatch) -> KernelResult<Option<RecordBatch>> {
    let protocol = actions.column_by_name(PROTOCOL);
    let Some(protocol) = protocol.and_then(|protocol| protocol.as_struct_opt()) else {
        return Ok(None);
    };
    let is_covered = FEATURES.iter().all(|(name, covered)| {
        let lists = protocol.column_by_name(name);
        let lists = lists.and_then(|lists| lists.as_list_opt::<i32>());
        let features = lists.and_then(|lists| lists.values().as_string_opt::<i32>());
        features.is_some_and(|features| features.iter().flatten().all(|one| covered.contains(&one)))
    });
    if !is_covered {
        return Ok(None);
    }
    let versions = VERSIONS.map(|(name, version)| {
        let field = Arc::new(Field::new(name, DataType::Int32, false));
        let versions: ArrayRef = Arc::new(Int32Array::from(vec![version; protocol.len()]));
        (field, versions)
    });
    let versions = StructArray::from(versions.to_vec());
    let field = Field::new(PROTOCOL, versions.data_type().clone(), false);
    let lowest = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(versions)]);
    Ok(Some(lowest?))
}
