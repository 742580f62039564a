//! The simulator as a client sees it.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use rollbook::ConfUuid;
use rollbook::simulator::{
    Answer, ClampLimit, Credentials, Drift, Drip, Echo, Effect, Endpoint, Fault, MeetingSpec,
    Options, OverLimit, PastEnd, Quota, Record, RecordEdit, Refusal, ServiceError, Simulator,
    TOKEN, Throttled,
};
use serde_json::{Value, json};

const RECORDS: &str = "v1/mmc/management/conferences/history/confAttendeeRecord";
const HISTORY: &str = "v1/mmc/management/conferences/history";

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request; an error once the answer breaks off.
async fn get(simulator: &Simulator, path: &str, query: &[(&str, &str)]) -> reqwest::Result<Got> {
    get_with(simulator, path, query, &[("X-Access-Token", TOKEN)]).await
}

async fn get_with(
    simulator: &Simulator,
    path: &str,
    query: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> reqwest::Result<Got> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(20))
        .no_proxy()
        .build()?;
    let url = simulator.base_url().join(path).unwrap();
    let mut request = client.get(url).query(query);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await?;
    Ok(Got {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.bytes().await?.to_vec(),
    })
}

async fn page(simulator: &Simulator, meeting: &ConfUuid, offset: u64, limit: u64) -> Got {
    try_page(simulator, meeting, offset, limit).await.unwrap()
}

async fn try_page(
    simulator: &Simulator,
    meeting: &ConfUuid,
    offset: u64,
    limit: u64,
) -> reqwest::Result<Got> {
    let (offset, limit) = (offset.to_string(), limit.to_string());
    let query = [
        ("confUUID", meeting.as_str()),
        ("offset", &offset),
        ("limit", &limit),
    ];
    let headers = [("X-Access-Token", TOKEN), ("Accept-Language", "en-US")];
    get_with(simulator, RECORDS, &query, &headers).await
}

fn rows(page: &Value) -> Vec<Record> {
    let rows = page["data"].as_array().unwrap().iter();
    rows.map(|row| serde_json::from_value(row.clone()).unwrap())
        .collect()
}

/// A simulator of one meeting, and the meeting.
async fn one(records: u64) -> (Simulator, ConfUuid) {
    started(Options::sizes(&[records])).await
}

async fn started(options: Options) -> (Simulator, ConfUuid) {
    let simulator = Simulator::start(options).await.unwrap();
    let meeting = simulator.meetings()[0].clone();
    (simulator, meeting)
}

#[tokio::test]
async fn pages_add_up_to_the_truth_and_echo_what_was_asked() {
    let (simulator, meeting) = one(1_100).await;
    let mut read = Vec::new();
    for offset in [0, 500, 1_000] {
        let page = page(&simulator, &meeting, offset, 500).await;
        assert_eq!(page.headers["content-type"], "application/json");
        assert_eq!(page.headers["x-request-id"].len(), 32);
        let page = page.json();
        assert_eq!(page["offset"], offset);
        assert_eq!(page["limit"], 500);
        assert_eq!(page["count"], 1_100);
        read.extend(rows(&page));
    }
    assert_eq!(read, simulator.truth(&meeting));
    assert_eq!(read.iter().collect::<HashSet<_>>().len(), 1_100);
    assert_eq!(simulator.request_count(), 3);
    let seen = simulator.requests();
    assert_eq!(
        seen.iter().filter_map(|s| s.offset).collect::<Vec<_>>(),
        [0, 500, 1_000]
    );
    assert!(
        seen.iter()
            .all(|seen| seen.authorized && seen.status == Some(200))
    );
}

#[tokio::test]
async fn an_indented_answer_has_the_layout_of_the_documentation() {
    let (simulator, meeting) = started(Options {
        pretty: true,
        ..Options::sizes(&[2])
    })
    .await;
    let text = page(&simulator, &meeting, 0, 20).await.text();
    let members: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
        .collect();
    let row = [
        "displayName",
        "callNumber",
        "deviceType",
        "joinTime",
        "leftTime",
        "mediaType",
        "deptName",
    ];
    let expected: Vec<_> = ["data"]
        .into_iter()
        .chain(row)
        .chain(row)
        .chain(["offset", "limit", "count"])
        .collect();
    assert_eq!(members, expected);
    assert!(text.starts_with("{\n    \"data\": [\n        {\n            \"displayName\": "));
    let page: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(rows(&page), simulator.truth(&meeting));
}

#[tokio::test]
async fn labels_come_in_the_language_asked_for_and_else_in_chinese() {
    let (simulator, meeting) = one(50).await;
    let query = [("confUUID", meeting.as_str()), ("limit", "50")];
    let chinese = get(&simulator, RECORDS, &query).await.unwrap().json();
    let truth = simulator.truth_in(&meeting, rollbook::Language::ZhCn);
    assert_eq!(rows(&chinese), truth);
    let english = page(&simulator, &meeting, 0, 50).await.json();
    assert_ne!(rows(&english), truth);
}

#[tokio::test]
async fn a_request_that_is_wrong_is_refused_as_documented() {
    let (simulator, meeting) = one(5).await;
    let uuid = meeting.as_str();
    for (path, query, token, status, code) in [
        (RECORDS, vec![], Some(TOKEN), 400, "MMC.111071061"),
        (
            RECORDS,
            vec![("confUUID", "unknown")],
            Some(TOKEN),
            400,
            "MMC.111070005",
        ),
        (
            RECORDS,
            vec![("confUUID", uuid), ("limit", "x")],
            Some(TOKEN),
            400,
            "MMC.111071061",
        ),
        (
            RECORDS,
            vec![("confUUID", uuid), ("limit", "0")],
            Some(TOKEN),
            400,
            "MMC.111071061",
        ),
        (
            RECORDS,
            vec![("confUUID", uuid)],
            None,
            401,
            "MMC.111070111",
        ),
        (
            RECORDS,
            vec![("confUUID", uuid)],
            Some("old"),
            401,
            "USG.206020000",
        ),
        (
            HISTORY,
            vec![("startDate", "0")],
            Some(TOKEN),
            400,
            "MMC.111071061",
        ),
        ("v1/unknown", vec![], Some(TOKEN), 404, "APIG.0101"),
    ] {
        let headers: Vec<_> = token
            .map(|token| ("X-Access-Token", token))
            .into_iter()
            .collect();
        let got = get_with(&simulator, path, &query, &headers).await.unwrap();
        assert_eq!(got.status, status, "{path} {query:?}");
        assert_eq!(got.json()["error_code"], code, "{path} {query:?}");
        assert!(got.headers.contains_key("x-request-id"));
    }
}

#[tokio::test]
async fn a_limit_above_the_maximum_is_cut_or_refused() {
    let (simulator, meeting) = one(700).await;
    let cut = page(&simulator, &meeting, 0, 600).await.json();
    assert_eq!((cut["limit"].as_u64(), rows(&cut).len()), (Some(500), 500));
    let (strict, meeting) = started(Options {
        over_limit: OverLimit::Reject,
        ..Options::sizes(&[700])
    })
    .await;
    assert_eq!(page(&strict, &meeting, 0, 501).await.status, 400);
}

#[tokio::test]
async fn an_offset_past_the_end_gives_no_records_or_the_last_page() {
    let (simulator, meeting) = one(12).await;
    let empty = page(&simulator, &meeting, 12, 5).await.json();
    assert_eq!(empty["data"], json!([]));
    let (last, meeting) = started(Options {
        past_end: PastEnd::LastPage,
        ..Options::sizes(&[12])
    })
    .await;
    let again = page(&last, &meeting, 15, 5).await.json();
    assert_eq!(rows(&again), last.truth(&meeting)[10..]);
    assert_eq!(again["offset"], 15);
}

#[tokio::test]
async fn a_search_key_finds_names_and_numbers() {
    let (simulator, meeting) = one(300).await;
    let truth = simulator.truth(&meeting);
    for key in ["Mar", "+99", "no such name"] {
        let expected: Vec<_> = truth
            .iter()
            .filter(|r| r.display_name.contains(key) || r.call_number.contains(key))
            .cloned()
            .collect();
        let query = [
            ("confUUID", meeting.as_str()),
            ("limit", "500"),
            ("searchKey", key),
        ];
        let headers = [("X-Access-Token", TOKEN), ("Accept-Language", "en-US")];
        let got = get_with(&simulator, RECORDS, &query, &headers)
            .await
            .unwrap();
        assert_eq!(rows(&got.json()), expected, "{key}");
        assert_eq!(got.json()["count"], expected.len());
    }
}

#[tokio::test]
async fn the_history_lists_meetings_by_their_start_in_the_span_asked_for() {
    let mut options = Options::meetings_of(30, 1..=9);
    options.meetings[3].foreign = true;
    let simulator = Simulator::start(options).await.unwrap();
    let all = simulator.meetings();
    let ask = async |first: i64, last: i64, more: &[(&str, &str)]| {
        let (first, last) = (first.to_string(), last.to_string());
        let mut query = vec![("startDate", &*first), ("endDate", &*last)];
        query.extend(more);
        get(&simulator, HISTORY, &query).await.unwrap().json()
    };
    let uuids = |page: &Value| -> Vec<String> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["confUUID"].as_str().unwrap().to_owned())
            .collect()
    };
    let texts =
        |uuids: &[ConfUuid]| -> Vec<String> { uuids.iter().map(ToString::to_string).collect() };

    let whole = ask(0, i64::MAX, &[("limit", "500"), ("queryAll", "true")]).await;
    assert_eq!(uuids(&whole), texts(&all));
    assert!(whole["data"][0]["passwordEntry"][0]["password"].is_string());
    let own = ask(0, i64::MAX, &[("limit", "500")]).await;
    assert_eq!(own["count"], 29);
    let start = simulator.start_of(&all[10]).unwrap();
    let three = ask(start, simulator.start_of(&all[12]).unwrap(), &[]).await;
    assert_eq!(uuids(&three), texts(&all[10..13]));
    let text = three["data"][0]["startTime"].as_str().unwrap();
    let minute = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    assert_eq!(minute.and_utc().timestamp(), start / 60_000 * 60);
    let down = ask(
        0,
        i64::MAX,
        &[("limit", "2"), ("sortType", "DSC_StartTIME")],
    )
    .await;
    assert_eq!(uuids(&down), [all[29].to_string(), all[28].to_string()]);
}

#[tokio::test]
async fn a_quota_refuses_as_the_gateway_words_it_until_the_window_is_over() {
    let (simulator, meeting) = started(Options::sizes(&[5]).with_quota(Quota {
        retry_after: true,
        headers: true,
        ..Quota::per(2, Duration::from_secs(60))
    }))
    .await;
    for remain in [1, 0] {
        let got = page(&simulator, &meeting, 0, 5).await;
        let header = format!("remain:{remain},limit:2,time:1 minute");
        assert_eq!(got.headers["x-apig-ratelimit-api"], header.as_str());
    }
    let refused = page(&simulator, &meeting, 0, 5).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error_code"], "APIG.0308");
    assert!(
        refused
            .text()
            .contains("policy api over ratelimit,limit:2,time:1 minute")
    );
    let wait: u64 = refused.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((55..=60).contains(&wait));
    // Each API has a quota of its own.
    let list = get(&simulator, HISTORY, &[("startDate", "0"), ("endDate", "1")])
        .await
        .unwrap();
    assert_eq!(list.status, 200);
}

#[tokio::test]
async fn what_a_page_says_can_be_wrong_in_every_part() {
    let (simulator, meeting) = one(30).await;
    let truth = simulator.truth(&meeting);
    let ten = |from: usize, n: usize| truth[from..from + n].to_vec();
    let figures = |page: &Value| {
        (
            page["offset"].clone(),
            page["limit"].clone(),
            page["count"].clone(),
        )
    };
    let clamp = |echoed| Effect::ClampLimit(ClampLimit { to: 4, echoed });
    for (effect, expected, echo) in [
        (clamp(true), ten(10, 4), json!([10, 4, 30])),
        (clamp(false), ten(10, 4), json!([10, 10, 30])),
        (Effect::Short(3), ten(10, 7), json!([10, 10, 30])),
        (Effect::Longer(2), ten(10, 12), json!([10, 10, 30])),
        (Effect::Empty, ten(10, 0), json!([10, 10, 30])),
        (
            Effect::IgnoreOffset(Echo::Asked),
            ten(0, 10),
            json!([10, 10, 30]),
        ),
        (
            Effect::IgnoreOffset(Echo::True),
            ten(0, 10),
            json!([0, 10, 30]),
        ),
        (Effect::EchoOffset(7), ten(10, 10), json!([7, 10, 30])),
        (Effect::EchoLimit(7), ten(10, 10), json!([10, 7, 30])),
        (Effect::Count(-1), ten(10, 10), json!([10, 10, -1])),
        (Effect::Count(0), ten(10, 10), json!([10, 10, 0])),
        (Effect::CountOff(5), ten(10, 10), json!([10, 10, 35])),
        (Effect::NoCount, ten(10, 10), json!([10, 10, null])),
    ] {
        simulator.clear_faults();
        simulator.add_fault(effect.clone());
        let page = page(&simulator, &meeting, 10, 10).await.json();
        assert_eq!(rows(&page), expected, "{effect:?}");
        let (offset, limit, count) = figures(&page);
        assert_eq!(json!([offset, limit, count]), echo, "{effect:?}");
        assert_eq!(page.get("count").is_none(), effect == Effect::NoCount);
    }
    simulator.clear_faults();
    simulator.add_fault(Effect::LastPage);
    assert_eq!(
        rows(&page(&simulator, &meeting, 33, 10).await.json()),
        ten(20, 10)
    );
    simulator.add_fault(Effect::NullData);
    assert_eq!(
        page(&simulator, &meeting, 0, 10).await.json()["data"],
        Value::Null
    );
    simulator.clear_faults();
    simulator.add_fault(Effect::NumbersAsText);
    let text = page(&simulator, &meeting, 0, 1).await.json();
    assert_eq!(text["count"], "30");
    assert_eq!(text["data"][0]["joinTime"], truth[0].join_time.to_string());
}

#[tokio::test]
async fn an_order_that_changes_on_each_request_loses_nothing_within_one() {
    let (simulator, meeting) = one(200).await;
    simulator.add_fault(Effect::Shuffle);
    let mut orders = HashSet::new();
    for _ in 0..3 {
        let mut order = rows(&page(&simulator, &meeting, 0, 500).await.json());
        orders.insert(order.clone());
        let mut truth = simulator.truth(&meeting);
        order.sort();
        truth.sort();
        assert_eq!(order, truth);
    }
    assert_eq!(orders.len(), 3);
}

#[tokio::test]
async fn drift_changes_the_meeting_for_good_and_the_truth_with_it() {
    let (simulator, meeting) = one(100).await;
    let before = simulator.truth(&meeting);
    let drift = Drift {
        insert_front: 1,
        remove_end: 1,
        ..Drift::default()
    };
    simulator.add_fault(Fault::new(Effect::Drift(drift)).offset(50..).first(2));
    assert_eq!(
        rows(&page(&simulator, &meeting, 0, 50).await.json()),
        before[..50]
    );
    let moved = page(&simulator, &meeting, 50, 50).await.json();
    assert_eq!(moved["count"], 100);
    assert_eq!(rows(&moved)[0], before[49]);
    page(&simulator, &meeting, 50, 50).await;
    page(&simulator, &meeting, 50, 50).await;
    let now = simulator.truth(&meeting);
    assert_eq!(now[2..], before[..98]);
    assert_eq!(simulator.count(&meeting), 100);
    let grow = Drift {
        append: 3,
        ..Drift::default()
    };
    simulator.drift(&meeting, grow);
    assert_eq!(page(&simulator, &meeting, 0, 1).await.json()["count"], 103);
}

#[tokio::test]
async fn one_record_can_be_anything() {
    let (simulator, meeting) = one(5).await;
    let edit = |edit| simulator.add_fault(Effect::Record(edit));
    edit(RecordEdit::set(0, "leftTime", "\"soon\""));
    edit(RecordEdit::unset(1, "leftTime"));
    edit(RecordEdit::replace(2, "42"));
    edit(RecordEdit::set(
        3,
        "displayName",
        r#""\ud800\u0000\u202e😀""#,
    ));
    edit(RecordEdit::set(4, "mood", r#"{"a": [1]}"#));
    let text = page(&simulator, &meeting, 0, 5).await.text();
    assert!(text.contains(r#""displayName":"\ud800\u0000\u202e😀","callNumber""#));
    let page: Value = serde_json::from_str(&text.replace(r"\ud800", "")).unwrap();
    assert_eq!(page["data"][0]["leftTime"], "soon");
    assert!(page["data"][1].get("leftTime").is_none());
    assert_eq!(page["data"][2], 42);
    assert_eq!(page["data"][4]["mood"], json!({"a": [1]}));
}

#[tokio::test]
async fn odd_times_come_in_turn_when_asked_for() {
    let (simulator, meeting) = started(Options {
        meetings: vec![MeetingSpec {
            odd_every: Some(10),
            ..MeetingSpec::of(100)
        }],
        ..Options::default()
    })
    .await;
    let page = page(&simulator, &meeting, 0, 100).await.json();
    let row = |at: usize| &page["data"][at];
    assert!(row(0).get("leftTime").is_none());
    assert_eq!(row(10).get("leftTime"), Some(&Value::Null));
    assert_eq!(row(20)["leftTime"], 0);
    assert!(row(30)["leftTime"].as_i64() < row(30)["joinTime"].as_i64());
    assert!(row(31)["leftTime"].as_i64() > row(31)["joinTime"].as_i64());
    assert_eq!(rows(&page), simulator.truth(&meeting));
}

#[tokio::test]
async fn whole_answers_are_replaced() {
    let (simulator, meeting) = one(5).await;
    let captive = Answer {
        body: "<html>log in to the network</html>".to_owned(),
        content_type: "text/html".to_owned(),
        headers: BTreeMap::from([("X-Portal".to_owned(), "yes".to_owned())]),
        ..Answer::default()
    };
    let busy = ServiceError {
        status: 200,
        code: "MMC.200000001".to_owned(),
        message: "SERVER_BUSY".to_owned(),
    };
    for (effect, status, part) in [
        (Effect::Status(500), 500, "MMC.200000002"),
        (Effect::Status(502), 502, "<html>"),
        (Effect::Status(503), 503, "APIG.0202"),
        (Effect::Status(403), 403, "MMC.111070002"),
        (Effect::Error(busy), 200, "SERVER_BUSY"),
        (Effect::Answer(captive), 200, "log in to the network"),
        (Effect::Bytes(vec![0xff, b'x']), 200, "x"),
        (Effect::Nested(200_000), 200, "[[[[[["),
    ] {
        simulator.clear_faults();
        simulator.add_fault(Fault::new(effect.clone()).first(1));
        let got = page(&simulator, &meeting, 0, 5).await;
        assert_eq!(got.status, status, "{effect:?}");
        assert!(got.text().contains(part), "{effect:?}");
        assert_eq!(page(&simulator, &meeting, 0, 5).await.json()["count"], 5);
    }
}

#[tokio::test]
async fn throttling_and_redirects_say_when_and_where() {
    let (simulator, meeting) = one(5).await;
    let throttled = |retry_after, retry_after_date| {
        Effect::Throttled(Throttled {
            limit: 5,
            retry_after,
            retry_after_date,
            ..Throttled::default()
        })
    };
    simulator.add_fault(throttled(Some(3), None));
    let got = page(&simulator, &meeting, 0, 5).await;
    assert_eq!(
        (got.status.as_u16(), &got.headers["retry-after"]),
        (429, &"3".parse().unwrap())
    );
    simulator.clear_faults();
    simulator.add_fault(throttled(None, Some(100)));
    let got = page(&simulator, &meeting, 0, 5).await;
    let date = httpdate::parse_http_date(got.headers["retry-after"].to_str().unwrap()).unwrap();
    let wait = date.duration_since(std::time::SystemTime::now()).unwrap();
    assert!((95..=100).contains(&wait.as_secs()));
    simulator.clear_faults();
    simulator.add_fault(Effect::Redirect("http://127.0.0.2:1/".to_owned()));
    let got = page(&simulator, &meeting, 0, 5).await;
    assert_eq!(
        (got.status.as_u16(), &got.headers["location"]),
        (302, &"http://127.0.0.2:1/".parse().unwrap())
    );
}

#[tokio::test]
async fn connections_break_in_every_way() {
    for tls in [false, true] {
        let (simulator, meeting) = started(Options {
            tls,
            ..Options::sizes(&[500])
        })
        .await;
        for effect in [
            Effect::Reset,
            Effect::ResetAfter(0),
            Effect::ResetAfter(10_000),
            Effect::Truncate(0),
            Effect::Truncate(10_000),
            Effect::Truncate(1_000_000),
        ] {
            simulator.clear_faults();
            simulator.add_fault(Fault::new(effect.clone()).first(1));
            let client = client(&simulator);
            let broken = records(&client, &simulator, &meeting).await;
            assert!(broken.is_err(), "{effect:?}");
            let whole = records(&client, &simulator, &meeting).await.unwrap();
            let whole: Value = serde_json::from_slice(&whole).unwrap();
            assert_eq!(rows(&whole), simulator.truth(&meeting));
        }
    }
}

#[tokio::test]
async fn a_reset_is_a_reset_and_a_truncated_body_an_early_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (simulator, meeting) = one(500).await;
    for (effect, bytes, reset) in [
        (Effect::Reset, 0, true),
        (Effect::ResetAfter(1_000), 1_000, true),
        (Effect::Truncate(1_000), 1_000, false),
    ] {
        simulator.clear_faults();
        simulator.add_fault(effect.clone());
        let mut stream = tokio::net::TcpStream::connect(simulator.address())
            .await
            .unwrap();
        let request = format!(
            "GET /{RECORDS}?confUUID={meeting} HTTP/1.1\r\nHost: x\r\nX-Access-Token: {TOKEN}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut read = Vec::new();
        let end = stream.read_to_end(&mut read).await;
        let body = read.windows(4).position(|four| four == b"\r\n\r\n");
        assert_eq!(
            body.map_or(0, |at| read.len() - at - 4),
            bytes,
            "{effect:?}"
        );
        let kind = end.map_err(|error| error.kind());
        let expected = std::io::ErrorKind::ConnectionReset;
        assert_eq!(kind.err(), reset.then_some(expected), "{effect:?}");
    }
}

/// A client that trusts the simulator.
fn client(simulator: &Simulator) -> reqwest::Client {
    let mut builder = reqwest::Client::builder().no_proxy();
    if let Some(pem) = simulator.certificate_pem() {
        let authority = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        builder = builder.tls_certs_only([authority]);
    }
    builder.build().unwrap()
}

async fn records(
    client: &reqwest::Client,
    simulator: &Simulator,
    meeting: &ConfUuid,
) -> reqwest::Result<Vec<u8>> {
    let response = client
        .get(simulator.base_url().join(RECORDS).unwrap())
        .query(&[("confUUID", meeting.as_str()), ("limit", "500")])
        .header("X-Access-Token", TOKEN)
        .header("Accept-Language", "en-US")
        .send()
        .await?;
    Ok(response.bytes().await?.to_vec())
}

#[tokio::test]
async fn a_verified_connection_speaks_http_2() {
    let (simulator, meeting) = started(Options {
        tls: true,
        ..Options::sizes(&[3])
    })
    .await;
    let url = simulator.base_url().join(RECORDS).unwrap();
    let request = client(&simulator).get(url).header("X-Access-Token", TOKEN);
    let response = request
        .query(&[("confUUID", meeting.as_str())])
        .send()
        .await
        .unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    assert_eq!(response.status(), 200);
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(stranger.get(simulator.base_url()).send().await.is_err());
}

#[tokio::test]
async fn a_hanging_request_waits_until_its_client_leaves() {
    let (simulator, meeting) = one(5).await;
    simulator.add_fault(Fault::new(Effect::Hang).first(1));
    let waiting = try_page(&simulator, &meeting, 0, 5);
    let arrived = async {
        while simulator.requests().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        got = waiting => panic!("answered {:?}", got.map(|got| got.status)),
        () = arrived => {}
    }
    assert_eq!(page(&simulator, &meeting, 0, 5).await.status, 200);
    assert_eq!(simulator.requests()[0].status, None);
    simulator.shutdown().await;
}

#[tokio::test]
async fn bodies_drip_swell_and_unpack() {
    let (simulator, meeting) = one(1).await;
    let drip = Drip {
        bytes: 50,
        pause: Duration::from_millis(5),
    };
    simulator.add_fault(Effect::Drip(drip));
    let start = Instant::now();
    assert_eq!(page(&simulator, &meeting, 0, 1).await.json()["count"], 1);
    assert!(start.elapsed() >= Duration::from_millis(15));
    simulator.clear_faults();
    simulator.add_fault(Effect::Pad(3 << 20));
    let padded = page(&simulator, &meeting, 0, 1).await;
    assert_eq!(padded.body.len(), 3 << 20);
    assert_eq!(padded.json()["count"], 1);
    simulator.clear_faults();
    simulator.add_fault(Effect::GzipBomb(5 << 20));
    assert_eq!(page(&simulator, &meeting, 0, 1).await.body.len(), 5 << 20);
    simulator.clear_faults();
    simulator.add_fault(Effect::Delay(Duration::from_millis(30)));
    let start = Instant::now();
    page(&simulator, &meeting, 0, 1).await;
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn tokens_expire_mid_run_and_a_new_one_is_good() {
    let (simulator, meeting) = one(5).await;
    for (refusal, code) in [
        (Refusal::TimedOut, "USG.000000004"),
        (Refusal::Invalid, "USG.206020000"),
        (Refusal::KickedOut, "USG.206020002"),
    ] {
        simulator.accept_token(TOKEN);
        simulator.clear_faults();
        simulator.add_fault(Fault::new(Effect::ExpireTokens(refusal)).nth(2));
        assert_eq!(page(&simulator, &meeting, 0, 5).await.status, 200);
        for _ in 0..2 {
            let refused = page(&simulator, &meeting, 0, 5).await;
            assert_eq!(refused.status, 401);
            assert_eq!(refused.json()["error_code"], code);
        }
    }
    simulator.accept_token(TOKEN);
    assert_eq!(page(&simulator, &meeting, 0, 5).await.status, 200);
}

#[tokio::test]
async fn a_token_is_renewed_checked_and_given_back() {
    let (simulator, _) = one(5).await;
    let client = client(&simulator);
    let url = |path: &str| simulator.base_url().join(path).unwrap();
    let renew = client.put(url("v1/usg/acs/token"));
    let body = renew
        .header("X-Access-Token", TOKEN)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    let token = answer["accessToken"].as_str().unwrap();
    assert_eq!(answer["user"]["adminType"], 0);
    let validate = async || {
        let body = json!({"token": token, "needGenNewToken": false, "needAccountInfo": true});
        let request = client.post(url("v1/usg/acs/token/validate"));
        request
            .body(body.to_string())
            .send()
            .await
            .unwrap()
            .status()
    };
    assert_eq!(validate().await, 200);
    let leave = client
        .delete(url("v1/usg/acs/token"))
        .header("X-Access-Token", token);
    let left = leave.send().await.unwrap();
    assert_eq!(left.status(), 200);
    assert!(left.bytes().await.unwrap().is_empty());
    assert_eq!(validate().await, 401);
}

#[tokio::test]
async fn faults_befall_only_the_endpoint_they_name() {
    let (simulator, meeting) = one(5).await;
    simulator.add_fault(Fault::new(Effect::Status(503)).on(Endpoint::History));
    assert_eq!(page(&simulator, &meeting, 0, 5).await.status, 200);
    let list = get(&simulator, HISTORY, &[("startDate", "0"), ("endDate", "1")])
        .await
        .unwrap();
    assert_eq!(list.status, 503);
}

#[tokio::test]
async fn a_stopped_simulator_leaves_its_port() {
    let (simulator, meeting) = started(Options {
        credentials: Credentials::default(),
        ..Options::sizes(&[5])
    })
    .await;
    page(&simulator, &meeting, 0, 5).await;
    let address = simulator.address();
    simulator.shutdown().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let again = Simulator::start(Options {
        listen: address,
        ..Options::sizes(&[5])
    });
    assert_eq!(again.await.unwrap().address(), address);
}
