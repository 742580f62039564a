use std::fs::OpenOptions;
use std::time::SystemTime;

use arrow::array::RecordBatch;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::dataset::writer::tests::{long_page as long_records, page as records};
use crate::record::decode::PageDecoder;
use crate::record::pii::Pii;
use crate::record::salt::tests::salt;
use crate::record::{DigestKey, TimeRange};

fn question(of: &str) -> Question {
    Question::new(&salt(), &of).unwrap()
}

fn open(home: &TempDir, run_id: &str) -> Spool {
    let (spool, left) = Spool::open(home.path(), question("ours"), run_id, true).unwrap();
    assert!(left.is_empty(), "{left:?}");
    spool
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
        digests: DigestKey::default().digests(&records),
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
    let taken = spool.take(key.clone()).unwrap();
    taken.map(|fetched| fetched.page.records)
}

/// The bytes of the one spool file that a run left, and where it is.
fn file(spool: &Spool) -> (PathBuf, Vec<u8>) {
    let path = locked(&spool.own).segments[0].path.clone();
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
    let found = next.take(key("m1", 0, 0)).unwrap().unwrap();
    assert_eq!((found.at, found.request_id), (at, kept.request_id));
    assert_eq!(found.page.records, kept.page.records);
    let figures = |page: &Page| {
        (
            page.offset,
            page.limit,
            page.count,
            page.replaced.clone(),
            page.digests.clone(),
        )
    };
    assert_eq!(figures(&found.page), figures(&kept.page));
    assert!(!next.has(&key("m1", 0, 0)));
    assert!(taken(&next, &key("m1", 0, 0)).is_none());
}

#[test]
fn a_page_of_long_records_or_of_none_is_given_as_it_was_fetched() {
    let home = tempfile::tempdir().unwrap();
    let dead = open(&home, "one");
    let pages = [long_records("m1", 0, 100, 25_000), records("m1", 0, 0)];
    for (walk, records) in (0..).zip(&pages) {
        let kept = page(records.clone(), Utc::now());
        dead.keep(key("m1", walk, 0), &kept).unwrap();
    }
    drop(dead);
    let next = open(&home, "two");
    for (walk, records) in (0..).zip(&pages) {
        let found = next.take(key("m1", walk, 0)).unwrap().unwrap();
        assert_eq!(found.page.records, *records);
        assert_eq!(found.page.digests, DigestKey::default().digests(records));
    }
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
    let other = Spool::open(home.path(), question("theirs"), "one", true)
        .unwrap()
        .0;
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
fn walks_that_came_to_nothing_are_void_in_every_later_run() {
    let home = tempfile::tempdir().unwrap();
    let m1: ConfUuid = "m1".parse().unwrap();
    let dead = open(&home, "one");
    keep(&dead, key("m1", 0, 0));
    keep(&dead, key("m2", 0, 0));
    dead.void(m1.clone(), 0).unwrap();
    // An answer to the walk that is over comes late.
    keep(&dead, key("m1", 0, 499));
    keep(&dead, key("m1", 1, 998));
    drop(dead);
    // The walk that was under way is the first one of the next run.
    let next = open(&home, "two");
    assert!(next.has(&key("m2", 0, 0)) && next.has(&key("m1", 0, 998)));
    assert!(!next.has(&key("m1", 0, 0)) && !next.has(&key("m1", 0, 499)));
    next.void(m1, 0).unwrap();
    assert!(!next.has(&key("m1", 0, 998)));
    keep(&next, key("m1", 1, 0));
    drop(next);
    let third = open(&home, "three");
    assert!(third.has(&key("m1", 0, 0)) && !third.has(&key("m1", 0, 998)));
}

#[test]
fn files_go_when_their_meetings_are_settled() {
    let home = tempfile::tempdir().unwrap();
    let spool = open(&home, "one");
    let names = ["m1", "m2", "m3"].map(|name| name.parse::<ConfUuid>().unwrap());
    for name in &names {
        keep(&spool, key(name.as_str(), 0, 0));
        // As if it had been full by now.
        locked(&spool.own).segments.last_mut().unwrap().bytes = SEGMENT;
    }
    let there = || files::list(&spool.folder).unwrap().len();
    assert_eq!(there(), 3);
    spool.settle(&names[1..2]).unwrap();
    assert_eq!(there(), 2);
    // The one that grows stays.
    spool.settle(&names).unwrap();
    assert_eq!(there(), 1);
    keep(&spool, key("m4", 0, 0));
    drop(spool);
    assert!(open(&home, "two").has(&key("m4", 0, 0)));
}

#[test]
fn who_keeps_nothing_removes_what_is_there_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    keep(&open(&home, "one"), key("m1", 0, 0));
    let (unlimited, _) = Spool::open(home.path(), question("ours"), "two", false).unwrap();
    assert!(unlimited.has(&key("m1", 0, 0)));
    keep(&unlimited, key("m1", 0, 499));
    unlimited.void("m1".parse().unwrap(), 0).unwrap();
    assert_eq!(files::list(&unlimited.folder).unwrap().len(), 1);
    unlimited.close(true).unwrap();
    assert!(files::list(&home.path().join(FOLDER)).unwrap().is_empty());
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_costs_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    keep(&open(&home, "one"), key("m1", 0, 0));
    let spool = open(&home, "two");
    // Whoever runs the tests: a folder is no file.
    fs::create_dir(spool.folder.join("odd.spool")).unwrap();
    drop(spool);
    let (next, left) = Spool::open(home.path(), question("ours"), "three", true).unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(next.has(&key("m1", 0, 0)));
}

#[test]
fn of_very_many_dead_runs_the_latest_are_read_and_the_others_removed() {
    let home = tempfile::tempdir().unwrap();
    for run in 0..70 {
        let dead = open(&home, "writer");
        keep(&dead, key("m1", 0, run));
        let (path, _) = file(&dead);
        drop(dead);
        fs::rename(&path, path.with_file_name(format!("hidden-{run:02}"))).unwrap();
    }
    let folder = open(&home, "two").folder.clone();
    for path in files::list(&folder).unwrap() {
        fs::rename(&path, path.with_extension("spool")).unwrap();
    }
    let next = open(&home, "three");
    assert_eq!(files::list(&folder).unwrap().len(), 64);
    assert!(!next.has(&key("m1", 0, 5)) && next.has(&key("m1", 0, 6)));
}

#[test]
fn what_is_old_is_neither_believed_nor_kept() {
    let home = tempfile::tempdir().unwrap();
    let dead = open(&home, "one");
    let old = Utc::now() - LIFE - Duration::from_secs(1);
    let kept = page(records("m1", 0, 20), old);
    dead.keep(key("m1", 0, 0), &kept).unwrap();
    // A clock was set back since.
    let ahead = page(
        records("m1", 0, 20),
        Utc::now() + Duration::from_secs(3_600),
    );
    dead.keep(key("m1", 0, 998), &ahead).unwrap();
    keep(&dead, key("m1", 0, 499));
    let (path, _) = file(&dead);
    drop(dead);
    let next = open(&home, "two");
    assert!(!next.has(&key("m1", 0, 0)) && next.has(&key("m1", 0, 499)));
    assert!(!next.has(&key("m1", 0, 998)));
    drop(next);
    let yesterday = SystemTime::now() - LIFE - Duration::from_secs(1);
    let old = OpenOptions::new().write(true).open(&path).unwrap();
    old.set_modified(yesterday).unwrap();
    drop(old);
    // Whatever the next run asks.
    Spool::open(home.path(), question("theirs"), "three", true).unwrap();
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
    assert_eq!((mode(&file(&spool).0), mode(&spool.folder)), (0o600, 0o700));
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

#[test]
fn a_question_cannot_be_told_without_the_salt() {
    let other = DatasetSalt::random().unwrap();
    assert_eq!(question("alice"), question("alice"));
    assert_ne!(question("alice"), question("bob"));
    assert_ne!(Question::new(&other, &"alice").unwrap(), question("alice"));
}

/// Names and numbers are not in a spool under a policy, and its digests cannot be made without the
/// salt: whoever tries all names finds none.
#[test]
fn nothing_in_a_spool_can_be_guessed_without_the_salt() {
    let home = tempfile::tempdir().unwrap();
    let body = br#"{"data":[{"displayName":"Alice Liddell","callNumber":"+991116004380",
        "deptName":"Wonder","joinTime":1574119917872}],"offset":0,"limit":500,"count":1}"#;
    let fetched = |salt: &DatasetSalt| {
        let policy = "display_name=drop,call_number=hash,dept_name=mask"
            .parse()
            .unwrap();
        let key = "0123456789abcdef0123456789abcdef".into();
        let decoder = PageDecoder {
            digest_key: DigestKey::of(salt),
            pii: Pii::new(&policy, Some(&key)).unwrap(),
        };
        let page = decoder.decode(body, &"m1".parse().unwrap(), 0, TimeRange::OPEN);
        let page = page.unwrap();
        Fetched {
            page,
            at: Utc::now(),
            request_id: None,
        }
    };
    let spool = open(&home, "one");
    let kept = fetched(&salt());
    spool.keep(key("m1", 0, 0), &kept).unwrap();
    let (_, mut bytes) = file(&spool);
    let frame = bytes
        .windows(4)
        .rposition(|four| *four == *b"\x28\xb5\x2f\xfd");
    let frame = zstd::Decoder::new(&bytes[frame.unwrap()..]).unwrap();
    let mut records = Vec::new();
    std::io::Read::read_to_end(&mut frame.single_frame(), &mut records).unwrap();
    bytes.extend(records);
    let tells = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    for text in ["Alice", "Liddell", "991116004380", "Wonder"] {
        assert!(!tells(text.as_bytes()), "{text}");
    }
    assert!(tells(b"W***"), "the page was not read");
    let digest = |fetched: &Fetched| fetched.page.digests[0].to_le_bytes();
    assert!(tells(&digest(&kept)));
    assert!(!tells(&digest(&fetched(&DatasetSalt::random().unwrap()))));
}
