//! What a store may do wrong, and what becomes of an export then: the table of store and fault.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rstest::rstest;

use crate::stage::ended;

use super::proxy::{Asked, Lie, Proxy};
use super::server::{Server, moto, seaweedfs};
use super::site::Site;

const SIZES: [u64; 5] = [3, 0, 700, 40, 250];

/// What a client gets over by asking again.
pub(super) const ONCE: [Lie; 5] = [
    Lie::Status(500),
    Lie::Status(503),
    Lie::Reset,
    Lie::AnswerLost,
    Lie::Torn,
];

/// Lies about each request the first time that it is made.
pub(super) fn at_first(lie: Lie) -> impl FnMut(&Asked) -> Option<Lie> + Send + 'static {
    let mut seen = HashSet::new();
    move |asked| {
        let is_new = seen.insert(format!("{} {}", asked.method, asked.path));
        is_new.then_some(lie)
    }
}

/// A site behind a proxy, whose exports have several commits.
pub(super) fn behind(server: &'static Server, proxy: &Proxy) -> Site {
    let mut site = Site::new(server, &SIZES);
    site.endpoint.clone_from(&proxy.endpoint);
    site
}

/// An export of several commits into `out` of a site.
pub(super) fn export(site: &Site) -> std::process::Command {
    let mut command = site.exporting("out");
    command.args(["--part-rows", "100", "--concurrency", "1"]);
    command.args(["--report", "report.json"]);
    command
}

#[rstest]
fn what_goes_wrong_once_costs_nothing_but_time(
    #[values(moto(), seaweedfs())] server: &'static Server,
) {
    // They wait most of the time.
    thread::scope(|scope| {
        let runs = ONCE.into_iter().chain([Lie::Slow]);
        let runs = runs.map(|lie| scope.spawn(move || goes_wrong_once(server, lie)));
        for run in runs.collect::<Vec<_>>() {
            println!("{}", run.join().unwrap());
        }
    });
}

fn goes_wrong_once(server: &'static Server, lie: Lie) -> String {
    let proxy = Proxy::before(server, at_first(lie));
    let site = behind(server, &proxy);
    let begun = Instant::now();
    let said = ended(&mut export(&site)).silently(0);
    let took = begun.elapsed();
    assert!(said.contains("complete: 5 of 5 meetings"), "{lie:?} {said}");
    // A commit whose answer was lost is not taken for somebody else's.
    assert!(!said.contains("another run"), "{lie:?} {said}");
    assert!(!site.stage.report().single_writer);
    let (lies, commits) = (proxy.lies(), site.entries("out"));
    assert!(
        lies > 20 && commits > 1,
        "{lie:?} {lies} lies, {commits} commits"
    );
    site.assert_complete("out");
    format!(
        "{} {lie:?}: complete, {lies} lies, {commits} commits, {took:.1?}",
        server.name
    )
}

#[test]
fn a_conflict_with_a_put_that_comes_to_nothing_is_no_commit_of_somebody_else() {
    let mut first = at_first(Lie::Status(409));
    let lies = move |asked: &Asked| asked.has_condition.then(|| first(asked)).flatten();
    let proxy = Proxy::before(moto(), lies);
    let site = behind(moto(), &proxy);
    let said = ended(&mut export(&site)).silently(0);
    assert!(!said.contains("another run"), "{said}");
    assert!(proxy.lies() > 2);
    site.assert_complete("out");
}

#[rstest]
fn a_store_that_ignores_conditions_is_found_out_and_said_aloud(
    #[values(moto(), seaweedfs())] server: &'static Server,
    #[values(Lie::Unconditional, Lie::Status(501))] lie: Lie,
) {
    let lies = move |asked: &Asked| asked.has_condition.then_some(lie);
    let proxy = Proxy::before(server, lies);
    let site = behind(server, &proxy);
    let said = ended(&mut export(&site)).silently(0);
    assert!(said.contains("complete: 5 of 5 meetings"), "{said}");
    assert!(said.contains("does not notice a second writer"), "{said}");
    assert!(site.stage.report().single_writer);
    site.assert_complete("out");
    println!("{} {lie:?}: complete, by a single writer", server.name);
}

#[rstest]
fn a_store_that_never_answers_ends_the_run_with_a_clear_word(
    #[values(moto(), seaweedfs())] server: &'static Server,
) {
    // It goes silent in the middle: the first commit is in, its part is not published.
    let is_silent = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&is_silent);
    let goes_silent = move |asked: &Asked| {
        let is_copy = asked.method == "PUT" && asked.path.contains("/out/part-");
        (is_copy && still.load(Ordering::Relaxed)).then_some(Lie::Silent)
    };
    let proxy = Proxy::before(server, goes_silent);
    let site = behind(server, &proxy);
    let mut command = export(&site);
    let begun = Instant::now();
    let said = ended(command.env("AWS_TIMEOUT", "500ms")).silently(1);
    assert!(begun.elapsed() < Duration::from_secs(20), "{said}");
    assert!(said.contains("cannot publish"), "{said}");
    println!(
        "{} Silent: failed after {:.1?}",
        server.name,
        begun.elapsed()
    );
    assert_eq!(site.assert_no_halves("out"), 0);
    // The same command goes on from there.
    is_silent.store(false, Ordering::Relaxed);
    ended(&mut export(&site)).silently(0);
    site.assert_complete("out");
}

#[test]
fn a_large_part_arrives_whole_though_answers_are_lost_and_a_vain_upload_is_aborted() {
    let is_in_vain = Arc::new(AtomicBool::new(true));
    let still = Arc::clone(&is_in_vain);
    let mut first = at_first(Lie::AnswerLost);
    let lies = move |asked: &Asked| {
        // Each piece, and the word that all are there.
        let is_of_pieces = asked.path.contains("uploadId=");
        match (is_of_pieces && asked.method != "DELETE", &*asked.method) {
            (true, "PUT") if still.load(Ordering::Relaxed) => Some(Lie::Status(503)),
            (true, _) => first(asked),
            (false, _) => None,
        }
    };
    let proxy = Proxy::before(moto(), lies);
    let mut site = Site::new(moto(), &[32_000]);
    site.endpoint.clone_from(&proxy.endpoint);
    let export = || {
        let mut command = site.exporting("out");
        command.args(["--format", "ndjson"]);
        command
    };
    let said = ended(export().env("AWS_TIMEOUT", "500ms")).silently(1);
    assert!(said.contains("cannot upload"), "{said}");
    assert_eq!(moto().unfinished_uploads(&site.folder), 0);
    assert_eq!(site.entries("out"), 0);

    is_in_vain.store(false, Ordering::Relaxed);
    let vain = proxy.lies();
    ended(&mut export()).silently(0);
    // Two pieces at least, and the end.
    assert!(proxy.lies() >= vain + 3);
    assert_eq!(moto().unfinished_uploads(&site.folder), 0);
    site.assert_sound("out");
    site.assert_tidy("out");
}
