//! Entries that take the place of others, and those that purge.

use super::*;

/// The third entry, which takes the place of the first two.
fn rewriting() -> Entry {
    let mut entry = entry(3, &["m1", "m2"]);
    entry.retracts = vec![1, 2];
    entry.rewrite = Some(Rewrite {
        keep_until: DateTime::UNIX_EPOCH,
        purged: vec![],
        replaced: vec![],
    });
    entry.versioned()
}

/// What two commits of a meeting each make of a third entry.
fn third(entry: &Entry) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    for (sequence, meeting) in [(1, "m1"), (2, "m2")] {
        apply(&mut ledger, self::entry(sequence, &[meeting]))?;
    }
    let path = entry_path(entry.sequence);
    apply(&mut ledger, Entry::parse(&path, &entry.to_bytes()?)?)?;
    Ok(ledger)
}

#[test]
fn an_entry_that_rewrites_others_holds_what_they_held_and_nothing_of_them_is_lost() {
    let ledger = third(&rewriting()).unwrap();
    assert_eq!(ledger.holder("m1"), Some(3));
    assert_eq!((ledger.meetings(), ledger.void().count()), (2, 2));
    assert!([1, 2].iter().all(|&old| ledger.rewrite_of(old).is_some()));

    let mut purging = rewriting();
    let purged = purging.meetings.pop().unwrap();
    purging.parts[0].rows = 3;
    purging
        .rewrite
        .as_mut()
        .unwrap()
        .purged
        .push(purged.conf_uuid.clone());
    let ledger = third(&purging).unwrap();
    assert!(ledger.is_purged(&purged.conf_uuid) && ledger.holder("m2").is_none());
}

#[test]
fn an_entry_that_rewrites_others_and_holds_something_else_is_not_believed() {
    let damages: [(Damage, &str); 7] = [
        (|entry| entry.retracts = vec![], "rewrites no entry"),
        (|entry| entry.version = 1, "ledger version 1 is not that of"),
        (|entry| entry.retracts = vec![1], "holds m2 otherwise than"),
        (
            |entry| entry.meetings[0].requests += 1,
            "holds m1 otherwise than",
        ),
        (
            |entry| entry.retracts = vec![1, 2, 3],
            "retracts entry 3, which is not before",
        ),
        (
            |entry| {
                entry.meetings.pop();
                entry.parts[0].rows = 3;
            },
            "rewrites m2 and does not hold it",
        ),
        (
            |entry| {
                let stranger = "m9".parse().unwrap();
                entry.rewrite.as_mut().unwrap().purged.push(stranger);
            },
            "purges m9, which it does not rewrite",
        ),
    ];
    for (damage, expected) in damages {
        let mut entry = rewriting();
        damage(&mut entry);
        let error = third(&entry).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let mut ledger = third(&rewriting()).unwrap();
    let again = Entry {
        sequence: 4,
        ..rewriting()
    };
    let error = apply(&mut ledger, again).unwrap_err().to_string();
    assert!(
        error.contains("rewrites entry 1, which does not stand any more"),
        "{error}"
    );
}

#[test]
fn an_entry_holds_a_meeting_that_it_replaces_otherwise_and_no_other() {
    let replacing = |name: &str, damage: Damage| {
        let mut entry = rewriting();
        damage(&mut entry);
        entry.rewrite.as_mut().unwrap().replaced.push(uuid(name));
        third(&entry)
    };
    let other: Damage = |entry| entry.meetings[0].requests += 1;
    let lost: Damage = |entry| {
        entry.meetings.pop();
        entry.parts[0].rows = 3;
    };
    assert_eq!(replacing("m1", other).unwrap().holder("m1"), Some(3));
    for (name, damage, expected) in [
        ("m2", other, "holds m1 otherwise than"),
        ("m9", other, "replaces m9, which it does not rewrite"),
        ("m2", lost, "rewrites m2 and does not hold it"),
    ] {
        let error = replacing(name, damage).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

/// The fifth entry, which purges this meeting alone; of the first two commits one was merged into
/// the third, which is lost, the second stands.
fn purging_alone(meeting: &str, damage: Damage) -> Result<Ledger> {
    let mut ledger = Ledger::default();
    for (sequence, meeting) in [(1, "m1"), (2, "m2")] {
        apply(&mut ledger, entry(sequence, &[meeting]))?;
    }
    let mut merged = Entry {
        retracts: vec![1],
        ..rewriting()
    };
    merged.meetings.truncate(1);
    merged.parts[0].rows = 3;
    apply(&mut ledger, merged)?;
    let retraction = Entry {
        parts: vec![],
        retracts: vec![3],
        ..entry(4, &[])
    };
    apply(&mut ledger, retraction)?;
    let mut purge = Entry {
        parts: vec![],
        rewrite: Some(Rewrite {
            keep_until: DateTime::UNIX_EPOCH,
            purged: vec![uuid(meeting)],
            replaced: vec![],
        }),
        ..entry(5, &[])
    };
    damage(&mut purge);
    let purge = purge.versioned();
    apply(
        &mut ledger,
        Entry::parse(&entry_path(5), &purge.to_bytes()?)?,
    )?;
    Ok(ledger)
}

#[test]
fn an_entry_may_purge_alone_what_void_entries_held_and_nothing_else() {
    let ledger = purging_alone("m1", |_| {}).unwrap();
    assert!(ledger.is_purged(&uuid("m1")) && !ledger.is_purged(&uuid("m2")));
    assert_eq!((ledger.holder("m1"), ledger.holder("m2")), (None, Some(2)));
    let cases: [(&str, Damage, &str); 6] = [
        ("m2", |_| {}, "purges m2, which it does not rewrite"),
        ("m9", |_| {}, "purges m9, which it does not rewrite"),
        (
            "m1",
            |entry| entry.rewrite.as_mut().unwrap().purged.clear(),
            "rewrites no entry",
        ),
        (
            "m1",
            |entry| entry.parts = self::entry(5, &[]).parts,
            "rewrites no entry",
        ),
        (
            "m1",
            |entry| entry.meetings.push(meeting("m1", 0)),
            "holds m1 otherwise",
        ),
        (
            "m1",
            |entry| entry.retracts = vec![1],
            "rewrites entry 1, which does not stand",
        ),
    ];
    for (meeting, damage, expected) in cases {
        let error = purging_alone(meeting, damage).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn an_entry_that_holds_what_was_purged_is_not_believed() {
    let mut ledger = purging_alone("m1", |_| {}).unwrap();
    let error = apply(&mut ledger, entry(6, &["m3", "m1"])).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("holds m1, which was purged"), "{error}");
}
