//! Servers that note what they are asked and answer all of it alike.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

/// What nobody asks for a second time.
pub(crate) const FORBIDDEN: &str =
    "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A server that hears the heads of requests.
pub(crate) struct Ears {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Ears {
    /// It ends with the process of the tests.
    pub(crate) fn answering(answer: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let (ears, answer) = (Arc::clone(&heard), answer.into());
        thread::spawn(move || {
            for client in listener.incoming() {
                hear(client.unwrap(), &ears, &answer);
            }
        });
        Self { url, heard }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn heard(&self) -> String {
        self.heads().concat()
    }

    /// Host and port.
    pub(crate) fn host(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Names it in the variables of a command that name a proxy, each in both spellings.
    pub(crate) fn as_proxy_of(&self, command: &mut Command) {
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
            command.env(name, &self.url);
            command.env(name.to_lowercase(), &self.url);
        }
        for name in ["NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
            command.env_remove(name);
        }
    }
}

fn hear(mut client: TcpStream, ears: &Mutex<Vec<String>>, answer: &str) {
    let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
    let head = lines.by_ref().map_while(Result::ok);
    let head: Vec<_> = head.take_while(|line| !line.is_empty()).collect();
    ears.lock().unwrap().push(head.join("\n") + "\n");
    // A client that has left does not mind.
    drop(client.write_all(answer.as_bytes()));
    drop(client.shutdown(std::net::Shutdown::Write));
    drop(client.read(&mut [0; 64]));
}
