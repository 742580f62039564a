//! Spark reads what others do. It takes long to start, so one test asks it everything.

use rollbook::{Format, Table};
use serde_json::json;

use crate::evolution;
use crate::partitions;
use crate::readers;
use crate::reading::{Lake, comments, counting, lines_for, schema};
use crate::stage::Stage;
use crate::venv;

#[tokio::test]
async fn spark_reads_the_parts_and_takes_the_readmes_lines_and_the_statements_of_the_schema() {
    let plain = tempfile::tempdir().unwrap();
    let truth = readers::dataset(plain.path(), Format::Parquet).await;
    // The harness of the command has a runtime of its own.
    let blocking = tokio::task::spawn_blocking(move || {
        let lake = Lake::new();
        let newer = Stage::of(&[]);
        let grown = evolution::grown(&newer);
        let lines = lines_for("spark");
        let dated = partitions::midnights();
        let export = ["export", "--meetings", "list.txt", "--out", "attendance"];
        let by = ["--partition-by", "join-date"];
        dated.run(&[&export[..], &by].concat()).with(0);
        let folder = |stage: &Stage| stage.folder.path().to_str().unwrap().to_owned();
        let [records, meetings] = schema(&lake.stage, "spark");
        let dest = folder(&lake.stage) + "/attendance";
        let delta = schema(&lake.stage, "delta");
        assert!(delta.iter().all(|text| text.contains("USING DELTA")));
        let told_apart = |form: &str| {
            let ended = dated.run(&[&["schema", "--format", form][..], &by].concat());
            ended.answer().replace("attendance", "dated")
        };
        let delta = [&delta[..], &[told_apart("delta")]].concat();
        let days = folder(&dated) + "/attendance";
        let jobs = json!({
            "times": [format!("{}/part-*.parquet", plain.path().display())],
            "lines": [[folder(&lake.stage), lines], [folder(&newer), counting(lines)]],
            "partitions": [
                folder(&dated), "join_date", partitions::records_for("Spark", "join_date"),
            ],
            "dated": ["dated", "join_date", told_apart("spark").replace("DEST", &days)],
            "tables": {
                "attendance": records.replace("DEST", &dest),
                "meetings": meetings.replace("DEST", &dest),
            },
            "parsed": delta,
        });
        let found = venv::ask("spark.py", &[], &jobs);
        // Spark's `timestamp` is an instant; what has no zone would be `timestamp_ntz`.
        let (rows, sum) = (truth.rows, truth.duration_ms);
        let first = readers::FIRST_JOIN;
        let times = json!([rows, rows, sum, first, 6, "timestamp", "timestamp"]);
        assert_eq!(found["times"], times);
        assert_eq!(found["lines"], json!([lake.attended(), grown]));
        let counted = partitions::counted(&dated.path("attendance"), "join_date");
        assert_eq!(found["partitions"], json!(counted));
        assert_eq!(found["dated"], json!(counted));
        for (name, table) in [
            ("attendance", Table::Records),
            ("meetings", Table::Meetings),
        ] {
            let filled = lake.filled(table);
            let found = &found["tables"][name];
            assert_eq!(found["comments"], json!(comments(table)));
            assert_eq!([&found["rows"], &found["uuids"]], [&filled[1], &filled[2]]);
        }
    });
    blocking.await.unwrap();
}
