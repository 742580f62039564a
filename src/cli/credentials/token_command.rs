//! A command that prints an access token: for vaults and for logins that rollbook does not know.
//!
//! The program is started by itself, without a shell, each time that a token is needed: at the
//! start, and once more when one is refused. What it prints on standard output is the token and
//! is shown nowhere; of its arguments nothing is shown either, since they may be secret.

use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::future::BoxFuture;
use rollbook::{Error, InputKind, Result, TokenSource};
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::secret;
use crate::cli::terminal::shortened;

/// Variables that may hold a secret.
const SECRETS: [&str; 4] = [
    "ROLLBOOK_ACCESS_TOKEN",
    "ROLLBOOK_APP_KEY",
    "ROLLBOOK_PASSWORD",
    "ROLLBOOK_PII_KEY",
];

/// Longest output that is read.
const LONGEST: u64 = 64 * 1024;

/// How long the program may take.
const TIME: Duration = Duration::from_secs(30);

/// How much of its complaints is shown, in columns.
const COMPLAINT: usize = 200;

/// A program that prints a token.
pub(crate) struct TokenCommand {
    program: String,
    arguments: Vec<String>,
    time: Duration,
}

impl TokenCommand {
    /// The program and its arguments; `None` where no program is named.
    pub(crate) fn new(mut words: Vec<String>) -> Option<Self> {
        if words.first().is_none_or(String::is_empty) {
            return None;
        }
        let arguments = words.split_off(1);
        Some(Self {
            program: words.pop()?,
            arguments,
            time: TIME,
        })
    }

    async fn run(&self) -> Result<SecretString> {
        let mut command = Command::new(&self.program);
        // It is asked for one secret and needs none of the others.
        for name in SECRETS {
            command.env_remove(name);
        }
        let mut child = command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Also where the run is stopped, or the time is over.
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| self.not_started(&error))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (output, complaint) =
                tokio::try_join!(self.output(stdout), async { Ok(complaint(stderr).await) })?;
            let status = child.wait().await;
            let status = status.map_err(|error| self.refuse(&format!("was lost: {error}")))?;
            Ok((status, output, complaint))
        };
        let Ok(ended) = tokio::time::timeout(self.time, work).await else {
            let time = humantime::format_duration(self.time);
            return Err(self.refuse(&format!("gave no token within {time}")));
        };
        let (status, output, complaint) = ended?;
        self.judge(status, &output, &complaint)
    }

    async fn output(&self, stdout: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            let read = stdout.take(LONGEST + 1).read_to_end(&mut output).await;
            read.map_err(|error| self.refuse(&format!("cannot be read: {error}")))?;
        }
        if output.len() as u64 > LONGEST {
            return Err(self.refuse("prints more than 64 KiB: it must print the token alone"));
        }
        Ok(output)
    }

    fn judge(&self, status: ExitStatus, output: &[u8], complaint: &[u8]) -> Result<SecretString> {
        let text = String::from_utf8_lossy(output);
        let text = text.trim();
        if !status.success() {
            let complaint = String::from_utf8_lossy(complaint);
            let complaint = if text.is_empty() {
                complaint.into_owned()
            } else {
                complaint.replace(text, "…")
            };
            let complaint = shortened(complaint.trim(), COMPLAINT);
            let colon = if complaint.is_empty() { "" } else { ": " };
            return Err(self.refuse(&format!("failed ({status}){colon}{complaint}")));
        }
        if text.is_empty() {
            return Err(self.refuse("printed no token on standard output"));
        }
        let name = format!("the output of {}", self.name());
        secret(output, InputKind::Token, &name)
    }

    fn name(&self) -> String {
        format!("token_command {}", shortened(&self.program, COMPLAINT))
    }

    /// A token may have been written where the command belongs: what is no program is not shown.
    fn not_started(&self, error: &io::Error) -> Error {
        if error.kind() == io::ErrorKind::NotFound {
            let reason = "token_command: there is no such program; name it, and its arguments \
                          after it";
            return Error::Credentials {
                reason: reason.to_owned(),
            };
        }
        self.refuse(&format!("cannot be started: {error}"))
    }

    fn refuse(&self, what: &str) -> Error {
        let reason = format!("{} {what}; run it by hand and mend it", self.name());
        Error::Credentials { reason }
    }
}

impl TokenSource for TokenCommand {
    fn token(&self) -> BoxFuture<'_, Result<SecretString>> {
        Box::pin(self.run())
    }
}

impl fmt::Debug for TokenCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCommand")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// The beginning of what a program says on standard error; the rest is taken from it, so that it
/// does not wait for a reader.
async fn complaint(stderr: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(mut stderr) = stderr {
        // What cannot be read is not shown.
        let _ = (&mut stderr).take(4 * 1024).read_to_end(&mut text).await;
        let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    }
    text
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    async fn run(script: &str) -> Result<SecretString> {
        let words = ["sh", "-c", script, "hidden-argument"].map(str::to_owned);
        let mut command = TokenCommand::new(words.to_vec()).unwrap();
        assert!(!format!("{command:?}").contains("hidden-argument"));
        if script.starts_with("exec sleep") {
            command.time = Duration::from_millis(50);
        }
        command.token().await
    }

    #[tokio::test]
    async fn the_token_is_what_the_program_prints() {
        let token = run("echo '  t0ken '; echo noise >&2").await.unwrap();
        assert_eq!(token.expose_secret(), "t0ken");
        // More on standard error than a pipe holds.
        let token = run("head -c 300000 /dev/zero >&2; echo t0ken").await;
        assert_eq!(token.unwrap().expose_secret(), "t0ken");
    }

    #[tokio::test]
    async fn what_gives_no_token_is_named_and_nothing_of_it_leaks() {
        for (script, words) in [
            ("exit 3", "failed (exit status: 3); run it by hand"),
            (
                "echo 'vault is sealed' >&2; exit 1",
                "): vault is sealed; run",
            ),
            ("echo t0ken; echo \"no t0ken\" >&2; exit 1", "): no …; run"),
            ("printf 'a\\033[2Jb' >&2; exit 1", "a\\u{1b}[2Jb"),
            ("true", "printed no token"),
            ("printf 't0ken\\377'", "is not a text in UTF-8"),
            ("echo '\"t0ken\"'", "is in quotes"),
            ("printf 't0ken\\n\\n'", "holds more than one line"),
            ("echo t0ken and more", "more than one word"),
            ("head -c 65537 /dev/zero; exec sleep 60", "more than 64 KiB"),
            ("exec sleep 60", "no token within 50ms"),
        ] {
            let error = run(script).await.unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(" sh"), "{error}");
            assert!(!error.contains("t0ken"), "{error}");
            assert!(!error.contains("hidden-argument"), "{error}");
        }
        let long = run("head -c 9000 /dev/zero | tr '\\0' x >&2; exit 1").await;
        assert!(long.unwrap_err().to_string().len() < 400);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_not_shown() {
        let command = TokenCommand::new(vec!["hunter2".to_owned()]).unwrap();
        let error = command.token().await.unwrap_err().to_string();
        assert!(error.contains("there is no such program"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        assert!(TokenCommand::new(vec![]).is_none());
        assert!(TokenCommand::new(vec![String::new()]).is_none());
    }
}
