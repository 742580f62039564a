//! The Python that tests of other people's software run in.
//!
//! A virtual environment with exactly the packages of `python/requirements.txt`, made once under
//! the target directory by `python/environment.py`; old software has one of its own. The first test that wants it waits for pip;
//! tests that want it at the same time, in this process or another, wait with it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// The interpreter of an environment that has all required packages.
///
/// Ends the test when there is no Python or the packages cannot be had: what a test needs is not
/// optional.
pub(crate) fn python() -> PathBuf {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON
        .get_or_init(|| make("python", "requirements.txt"))
        .clone()
}

/// The interpreter of an environment of its own, with the packages of this file beside the scripts.
pub(crate) fn python_of(requirements: &str) -> PathBuf {
    make(&format!("python-{requirements}"), requirements)
}

/// The output of a script of the tests, run in the environment; the script must succeed.
pub(crate) fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(python())
        .arg(script(name))
        .args(arguments)
        .output();
    told(name, &output.unwrap())
}

/// What a script of the tests answers, as JSON, to what it reads from standard input.
pub(crate) fn ask(name: &str, arguments: &[&str], jobs: &Value) -> Value {
    ask_by(&python(), name, arguments, jobs)
}

/// The same by this interpreter.
pub(crate) fn ask_by(python: &Path, name: &str, arguments: &[&str], jobs: &Value) -> Value {
    let mut child = Command::new(python)
        .arg(script(name))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Far from UTC: a reader that takes the times for local ones is found out.
        .env("TZ", "Asia/Shanghai")
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A script that ends early says why on its own.
    let _closed = stdin.write_all(jobs.to_string().as_bytes());
    drop(stdin);
    let answer = told(name, &child.wait_with_output().unwrap());
    serde_json::from_str(&answer).unwrap()
}

/// Where a script of the tests is.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/python")
        .join(name)
}

fn make(name: &str, requirements: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new("python3")
        .arg(script("environment.py"))
        .arg(&home)
        .arg(script(requirements))
        .output();
    assert!(
        output.is_ok(),
        "the tests need python3 with venv and pip: {output:?}"
    );
    told(
        "python3 with venv and pip, which the tests need,",
        &output.unwrap(),
    );
    home.join("bin/python")
}

/// What a program wrote, if it succeeded.
fn told(name: &str, output: &Output) -> String {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(
        output.status.success(),
        "{name} failed with {}:\n{stdout}{stderr}",
        output.status
    );
    stdout
}
