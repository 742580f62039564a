//! Just enough CSV to find one column: RFC 4180 quoting on bytes, whatever the encoding.
//!
//! Only the UUID must be readable; a subject in another encoding is passed over. A row must
//! have as many fields as the header, since a shifted row could name the wrong meeting.

use std::io::BufRead;

use crate::error::Result;
use crate::uuid::ConfUuid;

use super::line::Lines;
use super::parse;

/// Longest row that is read, line breaks in quotes included.
const LONGEST: usize = 1024 * 1024;

/// Where the meetings stand.
#[derive(Debug)]
pub(super) struct Header {
    delimiter: u8,
    width: usize,
    columns: Vec<usize>,
}

impl Header {
    /// The header that this line is; `None` where no column has the name.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        [b',', b';', b'\t'].into_iter().find_map(|delimiter| {
            let fields = split(line, delimiter)?;
            let named = |field: &Vec<u8>| {
                let field = field.trim_ascii();
                field.eq_ignore_ascii_case(b"confUUID") || field.eq_ignore_ascii_case(b"conf_uuid")
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
        let seen = row.fields.len();
        if seen != self.width {
            let width = self.width;
            return Err(format!("{seen} fields where the header has {width}"));
        }
        let field = row.fields.get(self.column()?).map_or(&[][..], |f| &f[..]);
        parse(field.trim_ascii())
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
        let mut text: Vec<u8> = Vec::new();
        let mut first = 0;
        while let Some(line) = lines.next()? {
            if text.is_empty() {
                let start = line.trim_ascii();
                if start.is_empty() || (start.starts_with(b"#") && header.has_comments()) {
                    continue;
                }
            } else {
                text.push(b'\n');
            }
            text.extend_from_slice(line);
            if first == 0 {
                first = lines.number();
            }
            if let Some(fields) = split(&text, header.delimiter) {
                return Ok(Some(Self {
                    line: first,
                    fields,
                }));
            }
            if text.len() > LONGEST {
                break;
            }
        }
        if text.is_empty() {
            return Ok(None);
        }
        Err(lines.refuse_at(first, "a quote is never closed".to_owned()))
    }
}

/// The fields of a row; `None` where a quote is still open at its end.
fn split(row: &[u8], delimiter: u8) -> Option<Vec<Vec<u8>>> {
    let mut fields = vec![Vec::new()];
    let mut quoted = false;
    let mut bytes = row.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        let field = fields.last_mut()?;
        if quoted {
            match byte {
                b'"' if bytes.peek() == Some(&b'"') => field.extend(bytes.next()),
                b'"' => quoted = false,
                _ => field.push(byte),
            }
        } else if byte == b'"' && field.trim_ascii().is_empty() {
            field.clear();
            quoted = true;
        } else if byte == delimiter {
            fields.push(Vec::new());
        } else {
            field.push(byte);
        }
    }
    (!quoted).then_some(fields)
}
