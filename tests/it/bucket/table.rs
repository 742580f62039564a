//! A Delta table in a bucket: each entry once in its log, whatever the store does in between.

use std::thread;

use rstest::rstest;
use serde_json::{Value, json};

use crate::delta::{in_order, read};
use crate::stage::ended;

use super::lies::{ONCE, at_first, behind, export};
use super::proxy::{Asked, Lie, Proxy};
use super::server::{KEY, SECRET, Server, moto, seaweedfs};
use super::site::Site;

/// The numbers of the ledger's entries, as they stand in the log.
fn sequences(site: &Site) -> Vec<u64> {
    let copy = site.stage.path("log");
    site.server.copy(&site.key("out", "_delta_log"), &copy);
    let names = std::fs::read_dir(copy).unwrap();
    let mut paths: Vec<_> = names.map(|name| name.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let text: String = paths
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let actions = text.lines().map(|line| serde_json::from_str(line).unwrap());
    actions
        .filter_map(|action: Value| action["txn"]["version"].as_u64())
        .collect()
}

#[track_caller]
fn assert_level(site: &Site) {
    let entries = u64::try_from(site.entries("out")).unwrap();
    assert_eq!(sequences(site), (1..=entries).collect::<Vec<_>>());
    site.assert_complete("out");
}

#[rstest]
fn readers_find_the_table_in_the_bucket(#[values(moto(), seaweedfs())] server: &'static Server) {
    let site = Site::new(server, &[3, 0, 700, 40, 250]);
    ended(export(&site).args(["--table", "delta"])).silently(0);
    ended(&mut site.command(&["compact", &site.place("out")])).with(0);
    assert!(site.entries("out") > 2);
    assert_level(&site);
    let options = json!({
        "aws_endpoint_url": server.endpoint,
        "aws_access_key_id": KEY,
        "aws_secret_access_key": SECRET,
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    });
    let seen = read(&site.place("out"), &options.to_string());
    for mut reader in [seen.deltalake, seen.polars] {
        in_order(&site.stage, &mut reader.rows);
        site.stage.assert_rows(&reader.rows, &[0, 1, 2, 3, 4]);
    }
}

#[test]
fn what_goes_wrong_once_doubles_no_commit_of_the_table() {
    thread::scope(|scope| {
        for lie in ONCE.into_iter().chain([Lie::Status(409)]) {
            scope.spawn(move || {
                let mut first = at_first(lie);
                let lies = move |asked: &Asked| {
                    let is_of_log = asked.path.contains("_delta_log");
                    let is_lie = lie != Lie::Status(409) || asked.has_condition;
                    (is_of_log && is_lie).then(|| first(asked)).flatten()
                };
                let proxy = Proxy::before(moto(), lies);
                let site = behind(moto(), &proxy);
                ended(export(&site).args(["--table", "delta"])).silently(0);
                assert!(proxy.lies() > site.entries("out"), "{lie:?}");
                assert_level(&site);
            });
        }
    });
}

#[test]
fn a_store_that_ignores_conditions_keeps_no_table() {
    let proxy = Proxy::before(moto(), |asked| {
        asked.has_condition.then_some(Lie::Unconditional)
    });
    let site = behind(moto(), &proxy);
    let said = ended(export(&site).args(["--table", "delta"])).silently(1);
    assert!(said.contains("creates a name a second time"), "{said}");
}
