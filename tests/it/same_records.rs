//! A balancer that answers one meeting with the records of another: each answer is sound by itself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::{fs, io, thread};

use crate::stage::{Stage, ended};

/// A server before the simulator that asks it for one meeting in the place of another.
fn balancer(stage: &Stage, asked: String, instead: String) -> String {
    let site = stage.simulator.base_url();
    let site = format!("{}:{}", site.host_str().unwrap(), site.port().unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // Ends with the process of the tests.
    thread::spawn(move || {
        for client in listener.incoming() {
            let (site, asked, instead) = (site.clone(), asked.clone(), instead.clone());
            let client = client.unwrap();
            thread::spawn(move || pass_on(&client, &site, &asked, &instead));
        }
    });
    url
}

/// One request to a connection.
fn pass_on(mut client: &TcpStream, site: &str, asked: &str, instead: &str) {
    let lines = BufReader::new(client).lines().map_while(Result::ok);
    let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
    let head = head.join("\r\n").replace(asked, instead) + "\r\nConnection: close\r\n\r\n";
    let mut server = TcpStream::connect(site).unwrap();
    server.write_all(head.as_bytes()).unwrap();
    // A client that has left does not mind.
    drop(io::copy(&mut server, &mut client));
    drop(client.shutdown(std::net::Shutdown::Both));
}

#[test]
fn meetings_that_are_answered_with_the_same_records_are_named() {
    let stage = Stage::of(&[10, 700, 10, 1, 0, 0]);
    let (asked, instead) = (stage.meeting(2), stage.meeting(0));
    let url = balancer(&stage, asked.clone(), instead.clone());
    let args = ["export", "--meetings", "list.txt", "--out", "out"];
    // Names are dropped before anything is written.
    let more = ["--report", "report.json", "--pii", "display_name=drop"];
    let mut command = stage.command(&[&args[..], &more].concat());
    let said = ended(command.env("ROLLBOOK_BASE_URL", &url)).silently(0);
    let mut both = [asked, instead];
    both.sort_unstable();
    assert!(
        said.contains("the same records came for several meetings"),
        "{said}"
    );
    assert!(said.contains(&both.join(", ")), "{said}");
    let groups = stage.report().same_records;
    let groups: Vec<Vec<_>> = groups
        .iter()
        .map(|group| group.iter().map(ToString::to_string).collect())
        .collect();
    assert_eq!(groups, [both.to_vec()]);
}

#[test]
fn of_a_sound_server_no_two_meetings_are_named() {
    let stage = Stage::of(&[10, 700, 10, 10, 1, 1, 0]);
    let said = stage.export(&["--report", "report.json"]).silently(0);
    assert!(!said.contains("the same records"), "{said}");
    let report = fs::read_to_string(stage.path("report.json")).unwrap();
    assert!(!report.contains("same_records"), "{report}");
}
