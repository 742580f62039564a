//! Two servers of buckets: moto, which is quick, and `SeaweedFS`, which keeps what it is given.
//!
//! Each is started once, by the first test that wants it, and ends with this process.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use tokio::runtime::Runtime;

use crate::venv;

pub(crate) const KEY: &str = "test";
pub(crate) const SECRET: &str = "test-secret";

/// A server with a bucket `lake`.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) endpoint: String,
    client: AmazonS3,
    /// Its end is that of the server.
    _lifeline: ChildStdin,
}

pub(crate) fn moto() -> &'static Server {
    static MOTO: OnceLock<Server> = OnceLock::new();
    MOTO.get_or_init(|| Server::start("moto"))
}

pub(crate) fn seaweedfs() -> &'static Server {
    static SEAWEEDFS: OnceLock<Server> = OnceLock::new();
    SEAWEEDFS.get_or_init(|| Server::start("seaweedfs"))
}

/// What the clients and the proxies of these tests run on.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    })
}

impl Server {
    #[expect(
        clippy::zombie_processes,
        reason = "its standard input ends with this process, and it with that"
    )]
    fn start(name: &'static str) -> Self {
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        let mut child = Command::new(venv::python())
            .arg(venv::script("bucket_server.py"))
            .arg(name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut endpoint = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut endpoint).unwrap();
        let endpoint = endpoint.trim_end().to_owned();
        assert!(!endpoint.is_empty(), "{name}: see {}", log.display());
        let client = AmazonS3Builder::new()
            .with_endpoint(&endpoint)
            .with_allow_http(true)
            .with_access_key_id(KEY)
            .with_secret_access_key(SECRET)
            .with_bucket_name("lake")
            .with_disable_bulk_delete(true)
            .build()
            .unwrap();
        Self {
            name,
            endpoint,
            client,
            _lifeline: child.stdin.take().unwrap(),
        }
    }

    /// The names of all objects below a folder, without it, and their sizes.
    pub(crate) fn objects(&self, folder: &str) -> BTreeMap<String, u64> {
        let listed = self.client.list(Some(&Key::from(folder)));
        let listed: Vec<_> = runtime().block_on(listed.try_collect()).unwrap();
        let inside = |key: Key| {
            let inside = key.as_ref().strip_prefix(folder)?.strip_prefix('/')?;
            Some(inside.to_owned())
        };
        let named = listed.into_iter();
        named
            .filter_map(|object| Some((inside(object.location)?, object.size)))
            .collect()
    }

    pub(crate) fn get(&self, key: &str) -> Bytes {
        runtime().block_on(async {
            let found = self.client.get(&Key::from(key)).await.unwrap();
            found.bytes().await.unwrap()
        })
    }

    pub(crate) fn put(&self, key: &str, bytes: impl Into<Bytes>) {
        runtime().block_on(self.write(key, bytes.into()));
    }

    pub(crate) async fn write(&self, key: &str, bytes: Bytes) {
        let put = self.client.put(&Key::from(key), bytes.into()).await;
        put.unwrap();
    }

    pub(crate) fn delete(&self, key: &str) {
        runtime()
            .block_on(self.client.delete(&Key::from(key)))
            .unwrap();
    }

    /// All objects below a folder, by their names without it.
    pub(crate) fn contents(&self, folder: &str) -> BTreeMap<String, Bytes> {
        let names = self.objects(folder).into_keys();
        names
            .map(|name| {
                let bytes = self.get(&format!("{folder}/{name}"));
                (name, bytes)
            })
            .collect()
    }

    /// Makes these all objects below a folder.
    pub(crate) fn replace(&self, folder: &str, contents: &BTreeMap<String, Bytes>) {
        for name in self.objects(folder).into_keys() {
            self.delete(&format!("{folder}/{name}"));
        }
        for (name, bytes) in contents {
            self.put(&format!("{folder}/{name}"), bytes.clone());
        }
    }

    /// Brings what readers of a dataset see into a folder here.
    pub(crate) fn copy(&self, from: &str, to: &Path) {
        let _ = fs::remove_dir_all(to);
        fs::create_dir_all(to).unwrap();
        for name in self.objects(from).into_keys() {
            if name.starts_with("_rollbook") {
                continue;
            }
            let path = to.join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, self.get(&format!("{from}/{name}"))).unwrap();
        }
    }

    /// What was begun to be uploaded and is neither whole nor given up; of moto alone, which asks
    /// nobody who they are.
    pub(crate) fn unfinished_uploads(&self, folder: &str) -> usize {
        let url = format!("{}/lake?uploads", self.endpoint);
        let told = runtime().block_on(async {
            let answer = reqwest::get(url).await.unwrap();
            answer.error_for_status().unwrap().text().await.unwrap()
        });
        assert!(told.contains("ListMultipartUploadsResult"), "{told}");
        told.matches(&format!("<Key>{folder}/")).count()
    }
}
