//! Just enough CSV to find one column: RFC 4180 quoting on bytes, whatever the encoding.
//!
//! Only the UUID must be readable; a subject in another encoding is passed over. A row must
//! have as many fields as the header, since a shifted row could name the wrong meeting: but empty
//! ones may be there behind the last, and others may be missing behind a UUID of 32 digits.

use std::io::BufRead;

use crate::error::Result;
use crate::values::ConfUuid;

use super::lines::Lines;
use super::parse;
use super::text::trimmed;

/// Longest row that is read, line breaks in quotes included.
const LONGEST: usize = 1024 * 1024;

/// What stands between fields.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Whether a line has nothing but separators and blanks.
pub(super) fn is_blank(line: &[u8]) -> bool {
    let mut fields = line.split(|byte| DELIMITERS.contains(byte));
    fields.all(|field| trimmed(field).is_empty())
}

/// Whether a line may be a row of fields.
pub(super) fn has_delimiter(line: &[u8]) -> bool {
    line.iter().any(|byte| DELIMITERS.contains(byte))
}

/// The only field of a line that is not empty.
pub(super) fn lone_field(line: &[u8]) -> Option<Vec<u8>> {
    DELIMITERS.into_iter().find_map(|delimiter| {
        let mut fields = Fields::new(delimiter);
        fields.take(line);
        let is_closed = !fields.is_quoted;
        let mut full = fields
            .taken
            .into_iter()
            .filter(|field| !trimmed(field).is_empty());
        let field = full.next().filter(|field| is_closed && field != line)?;
        full.next().is_none().then_some(field)
    })
}

/// The separator that a line `sep=;` names, as Excel reads and writes it.
pub(super) fn delimiter_line(line: &[u8]) -> Option<u8> {
    let bare = line
        .strip_prefix(b"\"")
        .and_then(|line| line.strip_suffix(b"\""));
    match bare.unwrap_or(line) {
        [name @ .., delimiter] if name.eq_ignore_ascii_case(b"sep=") => Some(*delimiter),
        _ => None,
    }
}

/// Where the meetings stand.
#[derive(Debug)]
pub(super) struct Header {
    delimiter: u8,
    width: usize,
    columns: Vec<usize>,
}

impl Header {
    /// The header that this line is, with this separator if one is known; `None` where no column
    /// has the name.
    pub(super) fn parse(line: &[u8], delimiter: Option<u8>) -> Option<Self> {
        delimiter
            .into_iter()
            .chain(DELIMITERS)
            .find_map(|delimiter| {
                let mut header = Fields::new(delimiter);
                header.take(line);
                if header.is_quoted {
                    return None;
                }
                let fields = header.taken;
                let named = |field: &Vec<u8>| {
                    let field = trimmed(field);
                    field.eq_ignore_ascii_case(b"confUUID")
                        || field.eq_ignore_ascii_case(b"conf_uuid")
                };
                let columns: Vec<usize> = fields
                    .iter()
                    .enumerate()
                    .filter(|(_, field)| named(field))
                    .map(|(column, _)| column)
                    .collect();
                (!columns.is_empty()).then_some(Self {
                    delimiter,
                    width: fields.len(),
                    columns,
                })
            })
    }

    /// The column; two of the name are one too many.
    fn column(&self) -> Result<usize, String> {
        match *self.columns.as_slice() {
            [column] => Ok(column),
            _ => Err("two columns are named confUUID or conf_uuid; keep one".to_owned()),
        }
    }

    /// The meeting that a row names.
    pub(super) fn meeting(&self, row: &Row) -> Result<ConfUuid, String> {
        let (seen, width) = (row.fields.len(), self.width);
        let is_shifted = || format!("{seen} fields where the header has {width}");
        let mut beyond = row.fields.iter().skip(width);
        if !beyond.all(|field| trimmed(field).is_empty()) {
            return Err(is_shifted());
        }
        let field = row.fields.get(self.column()?);
        if seen >= width {
            return parse(trimmed(field.map_or(&[][..], |field| field)));
        }
        // What is left of a row that was cut may be a piece of another field.
        let meeting = field.and_then(|field| parse(trimmed(field)).ok());
        meeting
            .filter(ConfUuid::is_documented)
            .ok_or_else(is_shifted)
    }

    /// Whether a line may be a comment: where the UUID comes first, nothing else starts with `#`.
    fn has_comments(&self) -> bool {
        self.columns == [0]
    }
}

/// One row, and the line it begins on.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: usize,
    fields: Vec<Vec<u8>>,
}

impl Row {
    /// The next row that is neither blank nor a comment.
    pub(super) fn read(lines: &mut Lines<impl BufRead>, header: &Header) -> Result<Option<Self>> {
        if let Err(reason) = header.column() {
            return Err(lines.refuse(reason));
        }
        let mut fields = Fields::new(header.delimiter);
        let (mut first, mut length) = (0, 0);
        while let Some(line) = lines.next()? {
            if first == 0 {
                let start = trimmed(line);
                if start.is_empty() || (start.starts_with(b"#") && header.has_comments()) {
                    continue;
                }
            } else {
                fields.take(b"\n");
            }
            fields.take(line);
            length += line.len() + 1;
            if first == 0 {
                first = lines.number();
            }
            if !fields.is_quoted {
                let taken = std::mem::replace(&mut fields, Fields::new(header.delimiter)).taken;
                if taken.iter().all(|field| trimmed(field).is_empty()) {
                    (first, length) = (0, 0);
                    continue;
                }
                return Ok(Some(Self {
                    line: first,
                    fields: taken,
                }));
            }
            if length > LONGEST {
                break;
            }
        }
        if first == 0 {
            return Ok(None);
        }
        Err(lines.refuse_at(first, "a quote is never closed".to_owned()))
    }
}

/// The fields of a row, taken in line by line.
#[derive(Debug)]
struct Fields {
    taken: Vec<Vec<u8>>,
    delimiter: u8,
    is_quoted: bool,
}

impl Fields {
    fn new(delimiter: u8) -> Self {
        Self {
            taken: vec![Vec::new()],
            delimiter,
            is_quoted: false,
        }
    }

    /// Takes a line in; a quote that is open at its end goes on in the next.
    fn take(&mut self, line: &[u8]) {
        let mut bytes = line.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            let Some(field) = self.taken.last_mut() else {
                return;
            };
            if self.is_quoted {
                match byte {
                    b'"' if bytes.peek() == Some(&b'"') => field.extend(bytes.next()),
                    b'"' => self.is_quoted = false,
                    _ => field.push(byte),
                }
            } else if byte == b'"' && field.trim_ascii().is_empty() {
                field.clear();
                self.is_quoted = true;
            } else if byte == self.delimiter {
                self.taken.push(Vec::new());
            } else {
                field.push(byte);
            }
        }
    }
}
