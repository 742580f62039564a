//! Laws of entries that are damaged and of ledgers that are put together at random.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::tests::{entry, meeting, parse};
use super::*;
use crate::dataset::store::Store;
use crate::record::Language;
use crate::record::salt::tests::salt;
use crate::record::table::MEETINGS;
use crate::report::Proof;

const NAMES: [&str; 5] = ["m1", "m2", "m3", "m4", "m5"];

/// An entry as runs commit them.
fn committed() -> impl Strategy<Value = Entry> {
    (1..50_u64).prop_flat_map(committed_as)
}

/// The same under this number.
pub(super) fn committed_as(sequence: u64) -> impl Strategy<Value = Entry> {
    let meetings = proptest::collection::vec((0..1_000_u64, 0..4_000_000_000_u32), 0..4);
    (meetings, 0..3_usize, any::<bool>(), any::<bool>()).prop_map(
        move |(meetings, retracts, is_asked, is_described)| {
            let model = entry(sequence, &[]);
            let at = |seconds: u32| DateTime::from_timestamp(seconds.into(), seconds % 10_000);
            let meetings: Vec<_> = (0..)
                .zip(meetings)
                .map(|(number, (rows, seconds))| CommittedMeeting {
                    first_fetch: at(seconds).unwrap(),
                    count: rows + u64::from(seconds % 3),
                    proof: [Proof::SinglePage, Proof::Seams, Proof::Twice][seconds as usize % 3],
                    pages: (seconds % 2 == 0).then_some(rows),
                    seams: (seconds % 5 == 0).then_some(u64::MAX),
                    ..meeting(&format!("m{sequence}-{number}"), rows)
                })
                .collect();
            let rows = meetings.iter().map(|meeting| meeting.rows);
            let described = is_described.then(|| Part {
                path: part_path_in(MEETINGS, sequence, 0, "parquet"),
                rows: meetings.len() as u64,
                ..model.parts[0].clone()
            });
            let parts = (0..).zip(rows).map(|(number, rows)| Part {
                path: part_path(sequence, number, "parquet"),
                rows,
                ..model.parts[0].clone()
            });
            let parts: Vec<_> = described.into_iter().chain(parts).collect();
            Entry {
                version: 0,
                parts,
                meetings,
                retracts: (1..sequence).take(retracts).collect(),
                asked: is_asked.then(|| Asked {
                    language: Language::ZhCn,
                    search_key: Some(KeyedSearchKey::new(&salt(), "key")),
                    pii: None,
                }),
                partitioning: None,
                ..model
            }
            .versioned()
        },
    )
}

/// The bytes of an entry file, legible where a law does not hold.
struct Written(u64, Vec<u8>);

impl std::fmt::Debug for Written {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "entry {}: {}", self.0, self.1.escape_ascii())
    }
}

/// An entry with one thing wrong: something else in the place of a few of them.
fn damaged(entry: impl Strategy<Value = Entry>) -> impl Strategy<Value = Written> {
    let token = prop_oneof![
        4 => any::<u8>().prop_map(|byte| vec![byte]),
        4 => (b'0'..=b'9').prop_map(|digit| vec![digit]),
        4 => select(&["", " ", "-", ".", "/", "../", "\"", "null", "[]", "1e3", "\\u0000"][..])
            .prop_map(|token| token.as_bytes().to_vec()),
    ];
    (entry, any::<Index>(), 0..3_usize, token).prop_map(|(entry, at, length, token)| {
        let mut bytes = entry.to_bytes().unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes.splice(at..bytes.len().min(at + length), token);
        Written(entry.sequence, bytes)
    })
}

/// An entry is refused with its path, or it is one that a run might have committed.
fn refused_or_sound(sequence: u64, bytes: &[u8]) -> Option<Entry> {
    let path = entry_path(sequence);
    let entry = match parse(sequence, bytes) {
        Ok(entry) => entry,
        Err(error) => {
            assert!(error.to_string().contains(&path), "{error}");
            return None;
        }
    };
    let again = parse(sequence, &entry.to_bytes().unwrap());
    assert_eq!(again.unwrap(), entry);
    assert_eq!(entry.sequence, sequence);
    let (mut rows, mut described) = (0, None);
    for part in &entry.parts {
        let prefix = format!("part-{sequence:020}-");
        let name = part.path.strip_prefix("meetings/").unwrap_or(&part.path);
        assert!(name.starts_with(&prefix) && !name.contains('/'));
        assert!(part.staged.starts_with("_rollbook/staging/") && !part.staged.contains("/."));
        assert_eq!(part.sha256.len(), 64);
        if name == part.path {
            rows += part.rows;
        } else {
            *described.get_or_insert(0) += part.rows;
        }
    }
    let in_meetings: u64 = entry.meetings.iter().map(|meeting| meeting.rows).sum();
    assert_eq!(rows, in_meetings);
    let held = entry.meetings.len() as u64;
    assert_eq!(
        (entry.version, described.unwrap_or(held)),
        (1 + u32::from(described.is_some()), held)
    );
    Some(entry)
}

proptest! {
    #[test]
    fn an_entry_is_read_as_it_was_written(entry in committed()) {
        let bytes = entry.to_bytes().unwrap();
        prop_assert_eq!(refused_or_sound(entry.sequence, &bytes), Some(entry));
    }

    #[test]
    fn any_bytes_are_refused_with_their_path(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(refused_or_sound(1, &bytes), None);
    }

    #[test]
    fn a_damaged_entry_is_refused_with_its_path_or_sound(entry in damaged(committed())) {
        refused_or_sound(entry.0, &entry.1);
    }
}

/// One entry file.
#[derive(Clone, Debug)]
enum File {
    Entry(Vec<&'static str>, Vec<u64>),
    /// Erases what void entries alone held.
    Purge(&'static str),
    Junk,
}

/// Entry files by number, mostly without gaps.
fn files() -> impl Strategy<Value = BTreeMap<u64, File>> {
    let meetings = subsequence(NAMES.to_vec(), 0..3);
    let retracts = prop_oneof![
        4 => Just(vec![]),
        2 => proptest::collection::vec(0..7_u64, 1..3),
        1 => Just(vec![u64::MAX]),
    ];
    let file = prop_oneof![
        30 => (meetings, retracts).prop_map(|(meetings, retracts)| File::Entry(meetings, retracts)),
        6 => select(&NAMES[..]).prop_map(File::Purge),
        1 => Just(File::Junk),
    ];
    let numbers = prop_oneof![
        20 => (1..7_u64).prop_map(|last| (1..=last).collect()),
        1 => proptest::collection::vec(0..7_u64, 0..6),
        1 => Just(vec![1, u64::MAX]),
    ];
    (numbers, proptest::collection::vec(file, 6))
        .prop_map(|(numbers, files)| numbers.into_iter().zip(files).collect())
}

/// Who holds what, as a reader of the rules would find; nothing where a file cannot be believed.
fn held(files: &BTreeMap<u64, File>) -> Option<BTreeSet<(&'static str, u64)>> {
    let (mut held, mut purged) = (BTreeSet::new(), BTreeSet::new());
    let mut void: BTreeSet<&str> = BTreeSet::new();
    for (expected, (&number, file)) in (1..).zip(files) {
        if number != expected {
            return None;
        }
        let is_held = |held: &BTreeSet<(&str, u64)>, name| held.iter().any(|&(one, _)| one == name);
        match file {
            File::Junk => return None,
            File::Purge(name) => {
                if !void.contains(name) || is_held(&held, *name) {
                    return None;
                }
                purged.insert(*name);
            }
            File::Entry(meetings, retracts) => {
                for earlier in retracts {
                    if !(1..number).contains(earlier) {
                        return None;
                    }
                    if let Some(File::Entry(meetings, _)) = files.get(earlier) {
                        void.extend(meetings);
                    }
                }
                held.retain(|(_, holder)| !retracts.contains(holder));
                for meeting in meetings {
                    if purged.contains(meeting) || is_held(&held, *meeting) {
                        return None;
                    }
                    held.insert((*meeting, number));
                }
            }
        }
    }
    Some(held)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_entry_files_add_up_or_are_refused_with_a_path(files in files()) {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(home.path().join(FOLDER)).unwrap();
        for (number, file) in &files {
            let bytes = match file {
                File::Junk => Bytes::from_static(b"{\"version\":1}"),
                File::Entry(meetings, retracts) => {
                    let entry = Entry { retracts: retracts.clone(), ..entry(*number, meetings) };
                    entry.to_bytes().unwrap()
                }
                File::Purge(name) => {
                    let rewrite = Rewrite {
                        keep_until: DateTime::UNIX_EPOCH,
                        purged: vec![name.parse().unwrap()],
                        replaced: vec![],
                    };
                    let entry = Entry { parts: vec![], rewrite: Some(rewrite), ..entry(*number, &[]) };
                    entry.versioned().to_bytes().unwrap()
                }
            };
            std::fs::write(home.path().join(entry_path(*number)), bytes).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = runtime.block_on(async {
            Ledger::read(&Store::open_at(&home.path().to_str().unwrap().into()).await?).await
        });
        match (held(&files), read) {
            (Some(held), Ok(ledger)) => {
                let found = NAMES.into_iter().filter_map(|name| Some((name, ledger.holder(name)?)));
                prop_assert_eq!(found.collect::<BTreeSet<_>>(), held);
            }
            (None, Err(Error::Dataset { path, .. })) => {
                prop_assert!(sequence_of(&path).is_some(), "{}", path);
            }
            (held, read) => prop_assert!(false, "expected {held:?}, read {read:?}"),
        }
    }
}
