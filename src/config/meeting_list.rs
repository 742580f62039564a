//! Which meetings to export: lists as people and programs write them.
//!
//! A list is read from any [`BufRead`]: one UUID a line, NDJSON objects with a `confUUID` member,
//! or CSV with a `confUUID` or `conf_uuid` column. The whole list is read and judged before the
//! first request; what is no meeting is refused by list and line, and nothing is skipped but
//! blanks, comments and repetitions. A list of nothing else is an empty one. Memory for a line is
//! bounded, whatever the file holds.

mod csv;
mod index;
mod lines;
mod shared;
mod text;

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::values::{ConfUuid, InvalidConfUuid};

use self::csv::{Header, Row};
use self::index::Index;
use self::lines::Lines;
pub(crate) use self::shared::{Meetings, Waiting};
use self::text::{trimmed, unseen};

/// Distinct meetings in the order in which they were first named.
#[derive(Clone, Debug, Default)]
pub struct MeetingList {
    order: Vec<ConfUuid>,
    known: Index,
}

impl MeetingList {
    /// An empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a meeting, unless the list has it already.
    pub fn push(&mut self, meeting: ConfUuid) {
        if self.known.insert(&self.order, &meeting) {
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
    /// A line that names no meeting.
    pub fn read(&mut self, source: impl BufRead, name: &str) -> Result<()> {
        let mut lines = Lines::new(source, name);
        let (mut is_first, mut delimiter) = (true, None);
        while let Some(line) = lines.next()? {
            let line = trimmed(line);
            if line.starts_with(b"#") || csv::is_blank(line) {
                continue;
            }
            if is_first {
                // Excel writes it, and hides it from its users.
                if delimiter.is_none() {
                    delimiter = csv::delimiter_line(line);
                    if delimiter.is_some() {
                        continue;
                    }
                }
                if let Some(header) = Header::parse(line, delimiter) {
                    return self.read_csv(&mut lines, &header);
                }
            }
            let entry = read_entry(line);
            let entry = if is_first {
                unless_header(line, entry)
            } else {
                entry
            };
            match entry {
                Ok(meeting) => self.push(meeting),
                Err(reason) => return Err(lines.refuse(reason)),
            }
            is_first = false;
        }
        Ok(())
    }

    fn read_csv(&mut self, lines: &mut Lines<impl BufRead>, header: &Header) -> Result<()> {
        while let Some(row) = Row::read(lines, header)? {
            match header.meeting(&row) {
                Ok(meeting) => self.push(meeting),
                Err(reason) => return Err(lines.refuse_at(row.line, reason)),
            }
        }
        Ok(())
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

/// A UUID, in quotes or between empty fields as a spreadsheet leaves it, and after it perhaps a
/// comment: no UUID has a `#`.
fn read_uuid(line: &[u8]) -> Result<ConfUuid, String> {
    let end = line.iter().position(|&b| b == b'#').unwrap_or(line.len());
    let text = trimmed(line.get(..end).unwrap_or(line));
    parse(text).or_else(|reason| match csv::lone_field(text) {
        Some(field) => parse(trimmed(&field)),
        None if csv::has_delimiter(text) => Err(format!(
            "{reason}; a CSV list needs a header line with a confUUID column"
        )),
        None => Err(reason),
    })
}

/// The first entry of a list, unless it is the header of its only column: such a word may pass for a
/// UUID, and each later line would be read in vain.
fn unless_header(line: &[u8], entry: Result<ConfUuid, String>) -> Result<ConfUuid, String> {
    let is_object = line.starts_with(b"{") || line.starts_with(b"[");
    match entry {
        Ok(meeting) if !is_object && is_word(meeting.as_str()) => Err(
            "the header of a column, since it has no digit: name the column confUUID, or remove the \
             line"
                .to_owned(),
        ),
        Err(reason) if !is_object && !csv::has_delimiter(line) => Err(format!(
            "{reason}; a header of one column is named confUUID"
        )),
        entry => entry,
    }
}

/// Whether a text has letters beyond those of hexadecimal digits, and no digit.
fn is_word(text: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphabetic() && !b.is_ascii_hexdigit();
    text.bytes().any(is_letter) && !text.bytes().any(|b| b.is_ascii_digit())
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
    match std::str::from_utf8(text).map(str::parse) {
        Ok(Ok(meeting)) => Ok(meeting),
        Ok(Err(invalid @ InvalidConfUuid::ConferenceId)) => Err(invalid.to_string()),
        Ok(Err(InvalidConfUuid::Form)) | Err(_) => Err(refusal(text)),
    }
}

/// What is wrong with a text, which may be personal data or the secret of another file: of its
/// characters none is repeated that could be read.
fn refusal(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let length = text.chars().count();
    let mut others = text.chars().enumerate();
    let found = match others.find(|(_, c)| !c.is_ascii_alphanumeric() && *c != '-') {
        Some((at, c)) => {
            let shown = unseen(c).unwrap_or_else(|| "another one".to_owned());
            format!("character {} of {length} is {shown}", at + 1)
        }
        None => format!("found {length}"),
    };
    format!("{}; {found}", InvalidConfUuid::Form)
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
    #[case::rows_of_separators(",,\n;;\n\t\na1\n,\nb2\n,,,\n")]
    #[case::csv_rows_of_separators(",,\nn,confUUID,\n,,\n1,a1,\n, ,\n2,b2,\n,,\n")]
    #[case::excels_separator("sep=;\r\nn;confUUID\r\n1;a1\r\n;\r\n2;b2\r\n")]
    #[case::excels_separator_in_quotes("\u{feff}\"sep=|\"\r\nn|confUUID\r\n1|a1\r\n2|b2\r\n")]
    #[case::excels_separator_alone("SEP=,\na1\nb2\n")]
    #[case::empty_columns("a1,,\n;b2;\n")]
    #[case::quoted_lines("\"a1\"\r\n\"b2\"\r\n")]
    #[case::no_break_spaces("\u{a0}a1\u{a0}\n\u{a0}\nb2\u{202f}\n")]
    #[case::no_width("\u{200b}a1\u{2060}\n\u{feff}b2\u{200e}\n\u{200b}\n")]
    #[case::csv_no_width("\u{200b}confUUID\u{a0},n\n\u{200b}a1\u{a0},1\nb2\u{feff},2\n\u{a0},\n")]
    #[case::csv_with_cells_to_its_right("confUUID,n\na1,1,,\nb2,2,\n")]
    fn reads(#[case] text: &str) {
        assert_eq!(read(text).unwrap(), ["a1", "b2"], "{text:?}");
    }

    #[test]
    fn a_csv_in_another_encoding_needs_only_its_uuids_readable() {
        let list = b"confUUID,subject\na1,\xd6\xdc\xbb\xe1\nb2,\xbb\xe1\xd2\xe9\n";
        assert_eq!(read(list).unwrap(), ["a1", "b2"]);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::blanks("\n \n\u{a0}\n,,\n")]
    #[case::comments("# a\n\n")]
    #[case::a_header("confUUID\n")]
    #[case::a_header_and_separators("sep=;\nn;confUUID\n;\n")]
    #[case::a_mark("\u{feff}")]
    fn a_list_of_nothing_is_an_empty_one(#[case] text: &str) {
        assert_eq!(read(text).unwrap(), [""; 0], "{text:?}");
    }

    #[test]
    fn the_spellings_of_one_uuid_are_one_meeting_in_the_apis_form() {
        let list = "9A0FA6D1-0A5B-11EA-AE5E-191763C22C0E\n\
                    9a0fa6d10a5b11eaae5e191763c22c0e\n\
                    9A0FA6D10A5B11EAAE5E191763C22C0E\n\
                    {\"confUUID\":\"9a0fa6d1-0a5b-11ea-ae5e-191763c22c0e\"}\n";
        assert_eq!(read(list).unwrap(), ["9a0fa6d10a5b11eaae5e191763c22c0e"]);
    }

    /// Excel leaves out separators where the last cells of sixteen rows are empty.
    #[test]
    fn a_row_without_its_last_cells_is_read_where_its_uuid_is_no_piece_of_another_cell() {
        let uuid = "9a0fa6d10a5b11eaae5e191763c22c0e";
        let list = format!("confUUID,topic,host\na1,x,y\n{uuid},z\n");
        assert_eq!(read(list).unwrap(), ["a1", uuid]);
        let error = refused("confUUID,topic,host\na1,x\n");
        assert!(
            error.contains("line 2: 2 fields where the header has 3"),
            "{error}"
        );
        let error = refused(format!("topic,host,confUUID\n{uuid},x\n"));
        assert!(error.contains("line 2: 2 fields"), "{error}");
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
    #[case::no_break_space("a\u{a0}1\n", "character 2 of 3 is \\u{a0}")]
    #[case::no_width(
        "a1\nb\u{200b}2\n",
        "line 2: not a meeting UUID: expected 1 to 64 letters, digits or dashes; character 2 of 3 is \\u{200b}"
    )]
    #[case::lines_of_a_mac("a1\rb2\r", "is \\u{d}")]
    #[case::word_as_header(
        "uuid\na1\n",
        "line 1: the header of a column, since it has no digit: name the column confUUID, or remove the line"
    )]
    #[case::words_as_header(
        "Meeting UUID\na1\n",
        "character 8 of 12 is another one; a header of one column is named confUUID"
    )]
    #[case::another_alphabet(
        "\n会议\na1\n",
        "line 2: not a meeting UUID: expected 1 to 64 letters, digits or dashes; character 1 of 2 is another one; a header of one column"
    )]
    #[case::conference_id("a1\n914083388\n", "line 2: a conference ID of nine digits")]
    #[case::conference_id_in_groups("914 083 388\n", "line 1: a conference ID of nine digits")]
    #[case::conference_id_in_csv("confUUID\n914083388\n", "line 2: a conference ID of nine digits")]
    #[case::conference_id_in_json("{\"confUUID\":\"914083388\"}\n", "conference ID of nine digits")]
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
            uuids in proptest::collection::hash_set("[0-9][0-9a-zA-Z-]{9,21}", 1..20)
        ) {
            let uuids: Vec<String> = uuids.into_iter().collect();
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
