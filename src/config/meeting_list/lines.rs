//! Lines of a list, numbered, within bounds: a file without line ends costs no memory.

use std::io::{self, BufRead};

use crate::error::{Error, Result};

/// Longest line that is read: ample for any object of the history list.
const LONGEST: usize = 256 * 1024;

/// The lines of one list.
#[derive(Debug)]
pub(super) struct Lines<R> {
    source: R,
    name: String,
    number: usize,
    line: Vec<u8>,
}

impl<R> Lines<R> {
    pub(super) fn new(source: R, name: &str) -> Self {
        Self {
            source,
            name: escaped(name),
            number: 0,
            line: Vec::new(),
        }
    }

    /// The 1-based number of the line read last.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The error that names the line read last.
    pub(super) fn refuse(&self, reason: String) -> Error {
        self.refuse_at(self.number.max(1), reason)
    }

    /// The error that names a line.
    pub(super) fn refuse_at(&self, line: usize, reason: String) -> Error {
        Error::MeetingList {
            list: self.name.clone(),
            line,
            reason,
        }
    }

    fn too_long(&self) -> Error {
        self.refuse(format!("longer than {LONGEST} bytes"))
    }

    fn unreadable(&self, error: &io::Error) -> Error {
        self.refuse(format!("cannot be read: {error}"))
    }
}

impl<R: BufRead> Lines<R> {
    /// The next line without its end; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        self.number += 1;
        let mut any = false;
        loop {
            let chunk = match self.source.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unreadable(&error)),
            };
            if chunk.is_empty() {
                break;
            }
            any = true;
            let end = chunk.iter().position(|&b| b == b'\n');
            let (text, used) = match end {
                Some(end) => (chunk.get(..end).unwrap_or(chunk), end + 1),
                None => (chunk, chunk.len()),
            };
            let room = LONGEST.saturating_sub(self.line.len());
            if text.len() > room {
                self.line.extend(text.iter().take(room));
                return Err(self.too_long());
            }
            self.line.extend_from_slice(text);
            self.source.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !any {
            self.number -= 1;
            return Ok(None);
        }
        self.without_mark().map(Some)
    }

    /// The line without the byte order mark that the first one may have.
    fn without_mark(&self) -> Result<&[u8]> {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if self.number > 1 {
            return Ok(line);
        }
        if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
            return Err(self.refuse("the list is UTF-16; save it as UTF-8".to_owned()));
        }
        Ok(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line))
    }
}

fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
