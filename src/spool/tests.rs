use std::fs::OpenOptions;

use arrow::array::RecordBatch;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::writer::tests::page as records;

fn question(of: &str) -> Question {
    Question::new(&of).unwrap()
}

fn open(home: &TempDir, run_id: &str) -> Spool {
    Spool::open(home.path(), question("ours"), run_id).unwrap()
}

fn key(meeting: &str, walk: u32, offset: u64) -> PageKey {
    PageKey {
        meeting: meeting.parse().unwrap(),
        walk,
        offset,
        limit: 500,
    }
}

fn page(records: RecordBatch, at: DateTime<Utc>) -> Fetched {
    let page = Page {
        offset: Some(0),
        limit: None,
        count: 700,
        records,
        replaced: vec![1, 1],
    };
    Fetched {
        page,
        at,
        request_id: Some("r-1".to_owned()),
    }
}

/// Keeps a page and tells its records.
fn keep(spool: &Spool, key: PageKey) -> RecordBatch {
    let kept = page(records(key.meeting.as_str(), 0, 20), Utc::now());
    spool.keep(key, &kept).unwrap();
    kept.page.records
}

fn taken(spool: &Spool, key: &PageKey) -> Option<RecordBatch> {
    let taken = spool.take(key).unwrap();
    taken.map(|fetched| fetched.page.records)
}

/// The bytes of the one spool file that a run left, and where it is.
fn file(spool: &Spool) -> (PathBuf, Vec<u8>) {
    let path = spool.path.clone();
    let bytes = fs::read(&path).unwrap();
    (path, bytes)
}

#[test]
fn a_page_of_a_dead_run_is_given_once_as_it_was_fetched() {
    let home = tempfile::tempdir().unwrap();
    let dead = open(&home, "one");
    let at = DateTime::from_timestamp_millis(Utc::now().timestamp_millis() - 5_000).unwrap();
    let kept = page(records("m1", 0, 20), at);
    dead.keep(key("m1", 0, 0), &kept).unwrap();
    drop(dead);
    let next = open(&home, "two");
    let found = next.take(&key("m1", 0, 0)).unwrap().unwrap();
    assert_eq!((found.at, found.request_id), (at, kept.request_id));
    assert_eq!(found.page.records, kept.page.records);
    let figures = |page: &Page| (page.offset, page.limit, page.count, page.replaced.clone());
    assert_eq!(figures(&found.page), figures(&kept.page));
    assert!(!next.has(&key("m1", 0, 0)));
    assert!(taken(&next, &key("m1", 0, 0)).is_none());
}

#[test]
fn another_walk_offset_limit_or_meeting_is_another_page() {
    let home = tempfile::tempdir().unwrap();
    keep(&open(&home, "one"), key("m1", 1, 499));
    let next = open(&home, "two");
    let shorter = PageKey {
        limit: 499,
        ..key("m1", 1, 499)
    };
    for other in [
        key("m2", 1, 499),
        key("m1", 0, 499),
        key("m1", 1, 0),
        shorter,
    ] {
        assert!(
            !next.has(&other) && taken(&next, &other).is_none(),
            "{other:?}"
        );
    }
    assert!(taken(&next, &key("m1", 1, 499)).is_some());
}

#[test]
fn pages_of_many_dead_runs_add_up_and_are_all_removed_at_the_end() {
    let home = tempfile::tempdir().unwrap();
    for run in 0..5 {
        let spool = open(&home, &format!("run-{run}"));
        keep(&spool, key("m1", 0, run * 499));
        keep(&spool, key("other", 0, run));
    }
    let last = open(&home, "last");
    keep(&last, key("m1", 0, 9_000));
    assert_eq!(last.only(&["m1".parse().unwrap()]), 5);
    assert!(taken(&last, &key("m1", 0, 4 * 499)).is_some());
    last.close(true).unwrap();
    assert_eq!(fs::read_dir(home.path().join(FOLDER)).unwrap().count(), 0);
}

#[test]
fn a_run_that_is_not_through_leaves_its_pages_to_the_next() {
    let home = tempfile::tempdir().unwrap();
    keep(&open(&home, "one"), key("m1", 0, 0));
    let second = open(&home, "two");
    assert!(taken(&second, &key("m1", 0, 0)).is_some());
    keep(&second, key("m1", 0, 499));
    second.close(false).unwrap();
    let third = open(&home, "three");
    assert!(taken(&third, &key("m1", 0, 0)).is_some());
    assert!(taken(&third, &key("m1", 0, 499)).is_some());
}

#[test]
fn a_live_run_keeps_its_pages_to_itself() {
    let home = tempfile::tempdir().unwrap();
    let live = open(&home, "one");
    keep(&live, key("m1", 0, 0));
    let beside = open(&home, "two");
    assert!(!beside.has(&key("m1", 0, 0)));
    keep(&beside, key("m2", 0, 0));
    beside.close(true).unwrap();
    drop(live);
    assert!(taken(&open(&home, "three"), &key("m1", 0, 0)).is_some());
}

#[test]
fn the_pages_of_another_question_are_not_believed_wherever_they_lie() {
    let home = tempfile::tempdir().unwrap();
    let other = Spool::open(home.path(), question("theirs"), "one").unwrap();
    keep(&other, key("m1", 0, 0));
    let (_, bytes) = file(&other);
    let ours = open(&home, "two");
    assert!(!ours.has(&key("m1", 0, 0)));
    fs::create_dir_all(&ours.folder).unwrap();
    fs::write(ours.folder.join("copied.spool"), bytes).unwrap();
    assert!(!open(&home, "three").has(&key("m1", 0, 0)));
}

#[test]
fn a_torn_tail_costs_the_last_page_only() {
    let home = tempfile::tempdir().unwrap();
    let dead = open(&home, "one");
    keep(&dead, key("m1", 0, 0));
    keep(&dead, key("m1", 0, 499));
    let (path, bytes) = file(&dead);
    drop(dead);
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    let next = open(&home, "two");
    assert!(taken(&next, &key("m1", 0, 0)).is_some());
    assert!(taken(&next, &key("m1", 0, 499)).is_none());
}

#[test]
fn an_altered_page_costs_itself_only() {
    let home = tempfile::tempdir().unwrap();
    let dead = open(&home, "one");
    keep(&dead, key("m1", 0, 0));
    let first = file(&dead).1.len();
    keep(&dead, key("m1", 0, 499));
    let (path, mut bytes) = file(&dead);
    drop(dead);
    bytes[first - 1] ^= 1;
    fs::write(path, &bytes).unwrap();
    let next = open(&home, "two");
    assert!(taken(&next, &key("m1", 0, 0)).is_none());
    assert!(taken(&next, &key("m1", 0, 499)).is_some());
}

#[test]
fn a_meeting_that_came_to_nothing_is_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let dead = open(&home, "one");
    keep(&dead, key("m1", 0, 0));
    keep(&dead, key("m2", 0, 0));
    dead.forget("m1".parse().unwrap()).unwrap();
    keep(&dead, key("m1", 0, 499));
    drop(dead);
    let next = open(&home, "two");
    assert!(!next.has(&key("m1", 0, 0)));
    assert!(next.has(&key("m2", 0, 0)) && next.has(&key("m1", 0, 499)));
}

#[test]
fn what_is_old_is_neither_believed_nor_kept() {
    let home = tempfile::tempdir().unwrap();
    let dead = open(&home, "one");
    let old = Utc::now() - LIFE - Duration::from_secs(1);
    let kept = page(records("m1", 0, 20), old);
    dead.keep(key("m1", 0, 0), &kept).unwrap();
    keep(&dead, key("m1", 0, 499));
    let (path, _) = file(&dead);
    drop(dead);
    let next = open(&home, "two");
    assert!(!next.has(&key("m1", 0, 0)) && next.has(&key("m1", 0, 499)));
    drop(next);
    let yesterday = SystemTime::now() - LIFE - Duration::from_secs(1);
    let old = OpenOptions::new().write(true).open(&path).unwrap();
    old.set_modified(yesterday).unwrap();
    drop(old);
    // Whatever the next run asks.
    Spool::open(home.path(), question("theirs"), "three").unwrap();
    assert!(!path.exists() && !path.parent().unwrap().exists());
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_a_spool() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let spool = open(&home, "one");
    keep(&spool, key("m1", 0, 0));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&spool.path), mode(&spool.folder)), (0o600, 0o700));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_file_holds_no_page_comes_out_that_was_not_kept(
        at: prop::sample::Index,
        cut: prop::sample::Index,
        noise in prop::collection::vec(any::<u8>(), 0..90),
        is_cut: bool,
    ) {
        let home = tempfile::tempdir().unwrap();
        let dead = open(&home, "one");
        let kept: Vec<_> = (0..3).map(|n| (key("m1", 0, n), keep(&dead, key("m1", 0, n)))).collect();
        let (path, mut bytes) = file(&dead);
        drop(dead);
        let at = at.index(bytes.len());
        let end = (at + noise.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(path, bytes).unwrap();
        let next = open(&home, "two");
        for (key, records) in kept {
            let found = taken(&next, &key);
            prop_assert!(found.is_none_or(|found| found == records));
        }
    }
}
