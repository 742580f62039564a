//! An old reader: Spark 3.2 reads classic parts, and refuses modern ones.

use rollbook::{Format, ParquetEncodings};
use serde_json::json;

use crate::readers;
use crate::venv;

#[tokio::test]
async fn spark_3_2_reads_classic_parts_and_refuses_modern_ones() {
    let (classic, modern) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let truth = readers::encoded(classic.path(), Format::Parquet, ParquetEncodings::Classic).await;
    readers::encoded(modern.path(), Format::Parquet, ParquetEncodings::Modern).await;
    let parts = |folder: &tempfile::TempDir| format!("{}/part-*.parquet", folder.path().display());
    let jobs = json!({ "classic": parts(&classic), "modern": parts(&modern) });
    let python = venv::python_of("spark-3.2.txt");
    let found = venv::ask_by(&python, "spark_3_2.py", &[], &jobs);
    assert_eq!(found["version"], "3.2.4");
    assert_eq!(found["classic"], truth.counted());
    let refusal =
        "java.lang.UnsupportedOperationException: Unsupported encoding: DELTA_BINARY_PACKED";
    assert_eq!(found["modern"], refusal);
}
