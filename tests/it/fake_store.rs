//! As much of S3 as an export needs, in this process: objects in memory, and who asked for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

type Objects = BTreeMap<String, Vec<u8>>;

/// A store with one bucket, `lake`; it ends with the process of the tests.
pub(crate) struct FakeStore {
    pub(crate) url: String,
    objects: Arc<Mutex<Objects>>,
    requests: Arc<Mutex<usize>>,
}

impl FakeStore {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let store = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            objects: Arc::default(),
            requests: Arc::default(),
        };
        let (objects, requests) = (Arc::clone(&store.objects), Arc::clone(&store.requests));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, objects) = (client.unwrap(), Arc::clone(&objects));
                let requests = Arc::clone(&requests);
                thread::spawn(move || serve(client, &objects, &requests));
            }
        });
        store
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }

    /// Replaces an object, or makes it.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let mut objects = self.objects.lock().unwrap();
        objects.insert(name.to_owned(), bytes.to_owned());
    }

    pub(crate) fn requests(&self) -> usize {
        *self.requests.lock().unwrap()
    }
}

/// One request, as far as it matters.
struct Request {
    method: String,
    key: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn serve(client: TcpStream, objects: &Mutex<Objects>, requests: &Mutex<usize>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let mut client = client;
    while let Some(request) = read(&mut reader) {
        *requests.lock().unwrap() += 1;
        let (status, body) = answer(&request, &mut objects.lock().unwrap());
        let (status, body) = match request.headers.get("range") {
            Some(range) if status.starts_with("200") => part(range, &body),
            _ => (status.to_owned(), body),
        };
        let length = body.len();
        let mut text = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: \"x\"\r\n\
             Last-Modified: Sun, 01 Nov 2026 00:00:00 GMT\r\n\r\n"
        )
        .into_bytes();
        if request.method != "HEAD" {
            text.extend(body);
        }
        if client.write_all(&text).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    for line in reader.by_ref().lines().map_while(Result::ok) {
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request {
        method,
        key: key(path),
        query: query.to_owned(),
        headers,
        body,
    })
}

/// The bytes of a range, and the status with it.
fn part(range: &str, whole: &[u8]) -> (String, Vec<u8>) {
    let (from, to) = range
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let from: usize = from.parse().unwrap();
    let to = to
        .parse()
        .map_or(whole.len(), |to: usize| whole.len().min(to + 1));
    let (last, all) = (to - 1, whole.len());
    (
        format!("206 Partial Content\r\nContent-Range: bytes {from}-{last}/{all}"),
        whole[from..to].to_vec(),
    )
}

/// The object that a path names, without the bucket.
fn key(path: &str) -> String {
    let path = path.trim_start_matches('/');
    decoded(
        path.strip_prefix("lake")
            .unwrap_or(path)
            .trim_start_matches('/'),
    )
}

fn decoded(text: &str) -> String {
    let pairs = format!("x={text}");
    let mut pairs = url::form_urlencoded::parse(pairs.as_bytes());
    pairs.next().unwrap().1.into_owned()
}

fn answer(request: &Request, objects: &mut Objects) -> (&'static str, Vec<u8>) {
    let key = &request.key;
    let none = || ("404 Not Found", vec![]);
    match request.method.as_str() {
        "GET" if request.query.contains("list-type=2") => ("200 OK", list(request, objects)),
        "GET" | "HEAD" => objects
            .get(key)
            .map_or_else(none, |bytes| ("200 OK", bytes.clone())),
        "PUT" => {
            let is_new = request
                .headers
                .get("if-none-match")
                .is_some_and(|etag| etag == "*");
            if is_new && objects.contains_key(key) {
                return ("412 Precondition Failed", vec![]);
            }
            let source = request.headers.get("x-amz-copy-source");
            let bytes = match source.map(|source| objects.get(&self::key(source))) {
                Some(None) => return none(),
                Some(Some(bytes)) => bytes.clone(),
                None => request.body.clone(),
            };
            objects.insert(key.clone(), bytes);
            (
                "200 OK",
                source.map_or(vec![], |_| {
                    b"<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>".to_vec()
                }),
            )
        }
        "DELETE" => {
            objects.remove(key);
            ("204 No Content", vec![])
        }
        _ => ("501 Not Implemented", vec![]),
    }
}

fn list(request: &Request, objects: &Objects) -> Vec<u8> {
    let query: BTreeMap<_, _> = url::form_urlencoded::parse(request.query.as_bytes()).collect();
    let prefix = query.get("prefix").map_or("", |prefix| &**prefix);
    let mut folders = BTreeSet::new();
    let mut text = String::from("<ListBucketResult><IsTruncated>false</IsTruncated>");
    for (name, bytes) in objects.iter().filter(|(name, _)| name.starts_with(prefix)) {
        match name[prefix.len()..].split_once('/') {
            Some((folder, _)) if query.contains_key("delimiter") => {
                folders.insert(format!("{prefix}{folder}/"));
            }
            _ => {
                let size = bytes.len();
                write!(
                    text,
                    "<Contents><Key>{name}</Key><Size>{size}</Size><ETag>\"x\"</ETag>\
                     <LastModified>2026-11-01T00:00:00.000Z</LastModified></Contents>"
                )
                .unwrap();
            }
        }
    }
    for folder in folders {
        write!(
            text,
            "<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>"
        )
        .unwrap();
    }
    (text + "</ListBucketResult>").into_bytes()
}
