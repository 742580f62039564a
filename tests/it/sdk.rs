//! The vendor's own SDK takes the simulator for the API: proof that both speak the same protocol.

use std::collections::BTreeMap;

use rollbook::simulator::{APP_ID, APP_KEY, Endpoint, Options, Simulator};
use serde_json::{Value, json};

use crate::venv;

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdk_logs_in_lists_and_pages_to_exactly_the_truth() {
    let simulator = Simulator::start(Options {
        tls: true,
        ..Options::sizes(&[1_100, 3, 500])
    })
    .await
    .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, simulator.certificate_pem().unwrap()).unwrap();

    let endpoint = simulator.base_url();
    let read = tokio::task::spawn_blocking(move || {
        let authority = authority.to_str().unwrap();
        let endpoint = endpoint.as_str().trim_end_matches('/');
        venv::run("sdk_client.py", &[endpoint, authority, APP_ID, APP_KEY])
    })
    .await
    .unwrap();

    let read: BTreeMap<String, Vec<Value>> = serde_json::from_str(&read).unwrap();
    let truth: BTreeMap<_, Vec<_>> = simulator
        .meetings()
        .iter()
        .map(|meeting| {
            let records = simulator.truth(meeting).into_iter();
            // The SDK renames the members after Python's custom.
            let renamed = records.map(|record| {
                json!({
                    "display_name": record.display_name,
                    "call_number": record.call_number,
                    "device_type": record.device_type,
                    "join_time": record.join_time,
                    "left_time": record.left_time,
                    "media_type": record.media_type,
                    "dept_name": record.dept_name,
                })
            });
            (meeting.to_string(), renamed.collect())
        })
        .collect();
    assert_eq!(read, truth);

    let seen: Vec<_> = simulator.requests().iter().map(|s| s.endpoint).collect();
    let times = |endpoint| seen.iter().filter(|&&is| is == endpoint).count();
    assert_eq!(times(Endpoint::Login), 1);
    assert_eq!(times(Endpoint::History), 1);
    assert_eq!(times(Endpoint::Records), 3 + 1 + 1);
    assert_eq!(simulator.logins(), 1);
}
