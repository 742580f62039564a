//! Which meetings to export: lists as people and programs write them.
//!
//! A list is read from any [`BufRead`]: one UUID a line, NDJSON objects with a `confUUID` member,
//! or CSV with a `confUUID` or `conf_uuid` column. The whole list is read and judged before the
//! first request; what is no meeting is refused by list and line, and nothing is skipped but
//! blanks, comments and repetitions. Memory for a line is bounded, whatever the file holds.

mod csv;
mod line;

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::uuid::{ConfUuid, InvalidConfUuid};

use self::csv::{Header, Row};
use self::line::Lines;

/// Distinct meetings in the order in which they were first named.
#[derive(Clone, Debug, Default)]
pub struct MeetingList {
    order: Vec<ConfUuid>,
    known: HashSet<ConfUuid>,
}

impl MeetingList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a meeting, unless the list has it already.
    pub fn push(&mut self, meeting: ConfUuid) {
        if self.known.insert(meeting.clone()) {
            self.order.push(meeting);
        }
    }

    /// Adds the meetings of a file.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and where the file cannot be opened.
    pub fn read_file(&mut self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(Error::file("open", path))?;
        self.read(BufReader::new(file), &path.display().to_string())
    }

    /// Adds the meetings of a list; `name` stands for it in messages.
    ///
    /// ```
    /// # use rollbook::MeetingList;
    /// let mut list = MeetingList::new();
    /// list.read(&b"# Monday\n9a0f\r\n\n9a0f\n"[..], "monday.txt")?;
    /// assert_eq!(list.into_meetings().len(), 1);
    /// # Ok::<(), rollbook::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// A line that names no meeting, and a list that names none at all.
    pub fn read(&mut self, source: impl BufRead, name: &str) -> Result<()> {
        let mut lines = Lines::new(source, name);
        let mut found = false;
        while let Some(line) = lines.next()? {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            if !found {
                if let Some(header) = Header::parse(line) {
                    return self.read_csv(&mut lines, &header);
                }
                found = true;
            }
            match read_entry(line) {
                Ok(meeting) => self.push(meeting),
                Err(reason) => return Err(lines.refuse(reason)),
            }
        }
        if found {
            Ok(())
        } else {
            Err(no_meeting(&lines))
        }
    }

    fn read_csv(&mut self, lines: &mut Lines<impl BufRead>, header: &Header) -> Result<()> {
        let mut found = false;
        while let Some(row) = Row::read(lines, header)? {
            found = true;
            match header.meeting(&row) {
                Ok(meeting) => self.push(meeting),
                Err(reason) => return Err(lines.refuse_at(row.line, reason)),
            }
        }
        if found {
            Ok(())
        } else {
            Err(no_meeting(lines))
        }
    }

    /// How many distinct meetings there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The meetings, in order, each once.
    pub fn into_meetings(self) -> Vec<ConfUuid> {
        self.order
    }
}

impl Extend<ConfUuid> for MeetingList {
    fn extend<I: IntoIterator<Item = ConfUuid>>(&mut self, meetings: I) {
        for meeting in meetings {
            self.push(meeting);
        }
    }
}

/// One entry of a list that is not CSV.
fn read_entry(line: &[u8]) -> Result<ConfUuid, String> {
    match line.first() {
        Some(b'{') => read_object(line),
        Some(b'[') => {
            Err("a JSON array; write one object a line, as `jq -c '.[]'` does".to_owned())
        }
        _ => read_uuid(line),
    }
}

/// A UUID, and after it perhaps a comment: no UUID has a `#`.
fn read_uuid(line: &[u8]) -> Result<ConfUuid, String> {
    let end = line.iter().position(|&b| b == b'#').unwrap_or(line.len());
    let text = line.get(..end).unwrap_or(line).trim_ascii();
    parse(text).map_err(|reason| {
        if text.contains(&b',') || text.contains(&b';') || text.contains(&b'\t') {
            format!("{reason}; a CSV list needs a header line with a confUUID column")
        } else {
            reason
        }
    })
}

/// An object as the history list has them; its other members are of no interest.
#[derive(Deserialize)]
struct Listed {
    #[serde(rename = "confUUID", alias = "conf_uuid")]
    conf_uuid: String,
}

fn read_object(line: &[u8]) -> Result<ConfUuid, String> {
    let listed: Listed = serde_json::from_slice(line).map_err(|error| {
        if error.is_data() {
            "expected one confUUID member with a text".to_owned()
        } else {
            format!("not a JSON object, seen at column {}", error.column())
        }
    })?;
    parse(listed.conf_uuid.as_bytes())
}

fn parse(text: &[u8]) -> Result<ConfUuid, String> {
    let meeting = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    meeting.ok_or_else(|| refusal(text))
}

/// What is wrong with a text, which may be personal data or the secret of another file: of its
/// characters none is repeated.
fn refusal(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let length = text.chars().count();
    let found = match text
        .chars()
        .position(|c| !c.is_ascii_alphanumeric() && c != '-')
    {
        Some(at) => format!("character {} of {length} is another one", at + 1),
        None => format!("found {length}"),
    };
    format!("{InvalidConfUuid}; {found}")
}

fn no_meeting<R>(lines: &Lines<R>) -> Error {
    lines.refuse("the list names no meeting; give one UUID a line".to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn read(text: impl AsRef<[u8]>) -> Result<Vec<String>> {
        let mut list = MeetingList::new();
        list.read(text.as_ref(), "list")?;
        let meetings = list.into_meetings();
        Ok(meetings.iter().map(ToString::to_string).collect())
    }

    fn refused(text: impl AsRef<[u8]>) -> String {
        read(text).unwrap_err().to_string()
    }

    #[rstest]
    #[case::plain("a1\nb2\n")]
    #[case::no_newline_at_the_end("a1\nb2")]
    #[case::byte_order_mark("\u{feff}a1\nb2\n")]
    #[case::windows_lines("a1\r\nb2\r\n")]
    #[case::blanks_and_spaces("\n  a1\t\n\r\n b2 \n\n")]
    #[case::comments("# first\na1 # Monday\n  # b0\nb2\n")]
    #[case::repetitions("a1\nb2\na1\nb2\n")]
    #[case::objects("{\"confUUID\":\"a1\",\"subject\":\"x\"}\n{\"conf_uuid\":\"b2\"}\n")]
    #[case::objects_and_lines("{\"confUUID\":\"a1\"}\nb2\n")]
    #[case::csv("confUUID\na1\nb2\n")]
    #[case::csv_after_a_mark("\u{feff}conf_uuid,subject\r\na1,x\r\nb2,y\r\n")]
    #[case::csv_quoted("\"subject\",\"confUUID\"\n\"a, \"\"b\"\"\",\"a1\"\n,b2\n")]
    #[case::csv_with_semicolons("subject;confUUID\nx,y;a1\n;b2\n")]
    #[case::csv_with_a_line_break("subject,confUUID\n\"two\nlines\",a1\n#3,b2\n")]
    #[case::csv_with_comments("# from the console\nconfUUID,n\n# Monday\na1,1\n\nb2,2\n")]
    fn reads(#[case] text: &str) {
        assert_eq!(read(text).unwrap(), ["a1", "b2"], "{text:?}");
    }

    #[test]
    fn a_csv_in_another_encoding_needs_only_its_uuids_readable() {
        let list = b"confUUID,subject\na1,\xd6\xdc\xbb\xe1\nb2,\xbb\xe1\xd2\xe9\n";
        assert_eq!(read(list).unwrap(), ["a1", "b2"]);
    }

    #[rstest]
    #[case::path("a1\n../../etc/passwd\n", "list, line 2: not a meeting UUID")]
    #[case::controls("a1\n\u{1b}[2J\u{7}\n", "line 2: not a meeting UUID")]
    #[case::long(&"a".repeat(65), "letters, digits or dashes; found 65")]
    #[case::character("a1\na1 b\n", "dashes; character 3 of 4 is another one")]
    #[case::bytes(&b"\xff\xff\xff\n"[..], "line 1: not a meeting UUID")]
    #[case::utf16(&b"\xff\xfea\0\n\0"[..], "UTF-16")]
    #[case::array("[{\"confUUID\":\"a1\"}]\n", "JSON array")]
    #[case::no_member("{\"id\":1}\n", "line 1: expected one confUUID member")]
    #[case::number("{\"confUUID\":1}\n", "expected one confUUID member")]
    #[case::torn_object("a1\n\n{\"confUUID\":\"a\n", "line 3: not a JSON object")]
    #[case::headless_csv("a1,Monday\n", "needs a header line with a confUUID column")]
    #[case::shifted_row(
        "confUUID,s\na1,b\nb2,c,d\n",
        "line 3: 3 fields where the header has 2"
    )]
    #[case::empty_field("s,confUUID\nx,\n", "line 2: not a meeting UUID")]
    #[case::open_quote("s,confUUID\n\"x,a1\n", "line 2: a quote is never closed")]
    #[case::two_columns("confUUID,conf_uuid\n", "line 1: two columns")]
    #[case::nothing("", "names no meeting")]
    #[case::only_comments("# a\n\n", "names no meeting; give one UUID a line")]
    #[case::only_a_header("confUUID\n", "names no meeting")]
    fn refuses(#[case] text: impl AsRef<[u8]>, #[case] message: &str) {
        let seen = refused(text);
        assert!(seen.contains(message), "{seen}");
        assert!(!seen.chars().any(char::is_control), "{seen:?}");
    }

    /// It may be a file of secrets, or of names.
    #[rstest]
    #[case::line("hunter2!")]
    #[case::object("{\"confUUID\":\"hunter2!\"}")]
    #[case::no_member("{\"subject\":\"hunter2\"}")]
    #[case::torn("{\"subject\":\"hunter2")]
    #[case::csv("confUUID,s\nhunter2!,x\n")]
    #[case::headless("a1,hunter2\n")]
    #[case::shifted("confUUID,s\na1,hunter2,x\n")]
    #[case::endless(&"hunter2".repeat(100_000))]
    fn no_word_of_a_line_is_repeated(#[case] text: &str) {
        let error = refused(text);
        assert!(error.contains("list, line "), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_is_read() {
        let mut endless = BufReader::new(std::io::repeat(b'a').take(u64::MAX));
        let error = MeetingList::new().read(&mut endless, "list").unwrap_err();
        assert!(error.to_string().len() < 200, "{error}");
        assert!(error.to_string().contains("line 1: longer than"), "{error}");
    }

    #[test]
    fn a_stray_quote_is_found_out_within_bounds() {
        let list = format!("s,confUUID\n\"{}", "x,a1\n".repeat(500_000));
        assert!(refused(list).contains("line 2: a quote is never closed"));
    }

    #[test]
    fn a_hundred_thousand_lines_keep_their_order() {
        let lines: Vec<_> = (0..100_000).map(|n| format!("{n:032x}\r\n")).collect();
        let read = read(lines.concat()).unwrap();
        assert_eq!(read.len(), 100_000);
        assert_eq!(read.last().unwrap(), &format!("{:032x}", 99_999));
    }

    proptest! {
        #[test]
        fn never_panics_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }

        #[test]
        fn never_panics_on_near_lists(text in "(confUUID|[a{}\":,;\"#\\[\r\n\t ]){0,60}") {
            let _ = read(&text);
        }

        #[test]
        fn every_form_brings_the_same_meetings(
            uuids in proptest::collection::hash_set("[0-9a-zA-Z-]{1,64}", 1..20)
        ) {
            let uuids: Vec<String> = uuids.into_iter().collect();
            prop_assume!(uuids[0] != "confUUID");
            let rendered = |form: &dyn Fn(&String) -> String| {
                uuids.iter().map(form).collect::<Vec<_>>().concat()
            };
            let csv = rendered(&|uuid| format!("\"x\n\"\"y\",{uuid}\r\n"));
            let json = rendered(&|uuid| format!("{{\"confUUID\":\"{uuid}\"}}\n"));
            prop_assert_eq!(&read(uuids.join("\n")).unwrap(), &uuids);
            prop_assert_eq!(&read(format!("s,confUUID\n{csv}")).unwrap(), &uuids);
            prop_assert_eq!(&read(json).unwrap(), &uuids);
        }
    }
}
