//! The rows of a table, treated column by column.
//!
//! A text that shows what another column of its row hides would tell it: an unnamed endpoint shows
//! its number as its name, and a subject is often "Alice's meeting". Such a text is treated as
//! strictly as that column is, where its own column is treated less strictly.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, new_null_array};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::{
    CALL_NUMBER, CONFERENCE_ID, DEPT_NAME, DISPLAY_NAME, EXTRA, Pii, SCHEDULER, SUBJECT, Treatment,
    digest, extra, spelling,
};

/// What stands for the part of a text that is not shown, whatever its length.
const MASK: &str = "***";

/// The columns of the same row that a column's texts may show.
const SHOWS: [(&str, &[&str]); 5] = [
    (DISPLAY_NAME, &[CALL_NUMBER]),
    (DEPT_NAME, &[CALL_NUMBER]),
    (EXTRA, &[CALL_NUMBER, DISPLAY_NAME]),
    (SUBJECT, &[CONFERENCE_ID, SCHEDULER]),
    (SCHEDULER, &[CONFERENCE_ID]),
];

/// Whether a column's texts are numbers that people dial.
fn is_of_numbers(column: &str) -> bool {
    [CALL_NUMBER, CONFERENCE_ID].contains(&column)
}

/// Whether a column's texts are names of people or endpoints: one that is nothing but a number is
/// treated as a number too.
fn is_of_names(column: &str) -> bool {
    [DISPLAY_NAME, SCHEDULER].contains(&column)
}

/// Another column of the same rows, which is treated.
struct Hidden<'a> {
    texts: &'a StringArray,
    is_of_numbers: bool,
    treatment: Treatment,
}

/// A text, and what becomes of it.
struct Found<'a> {
    text: &'a str,
    is_number: bool,
    treatment: Treatment,
}

impl Pii {
    /// The rows of a table as they may be written.
    pub(crate) fn apply(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = rows.schema();
        let columns = schema.fields().iter().zip(rows.columns());
        let columns = columns.map(|(field, column)| self.column(rows, field.name(), column));
        RecordBatch::try_new(rows.schema(), columns.collect())
    }

    fn column(&self, rows: &RecordBatch, name: &str, column: &ArrayRef) -> ArrayRef {
        let treatment = self.policy.treatment(name);
        let Some(texts) = column.as_string_opt::<i32>() else {
            return Arc::clone(column);
        };
        if treatment == Treatment::Drop {
            return new_null_array(column.data_type(), column.len());
        }
        let hidden = self.hidden(rows, name);
        let like_number = if is_of_names(name) {
            self.policy.treatment(CALL_NUMBER)
        } else {
            Treatment::Keep
        };
        let is_kept = treatment.max(like_number) == Treatment::Keep && hidden.is_empty();
        if is_kept {
            return Arc::clone(column);
        }
        let each = texts.iter().enumerate().map(|(row, text)| {
            let text = text?;
            if name == EXTRA {
                return extra::treated(text, |text| {
                    found_in(text, row, &hidden).map(|found| self.text(&found))
                });
            }
            let own = Found {
                text,
                is_number: is_of_numbers(name),
                treatment,
            };
            let mut found = match found_in(text, row, &hidden) {
                Some(found) => found,
                None if is_of_names(name) && spelling::looks_like_a_number(text) => Found {
                    is_number: true,
                    treatment: like_number,
                    ..own
                },
                None => return self.text(&own),
            };
            found.treatment = found.treatment.max(treatment);
            self.text(&found)
        });
        Arc::new(each.collect::<StringArray>())
    }

    /// The treated columns that the texts of this one may show.
    fn hidden<'a>(&self, rows: &'a RecordBatch, name: &str) -> Vec<Hidden<'a>> {
        let shown = SHOWS.iter().find(|(column, _)| *column == name);
        let shown = shown.map_or(&[][..], |(_, shown)| shown).iter();
        let hidden = shown.filter_map(|shown| {
            Some(Hidden {
                texts: rows.column_by_name(shown)?.as_string_opt()?,
                is_of_numbers: is_of_numbers(shown),
                treatment: self.policy.treatment(shown),
            })
        });
        hidden
            .filter(|hidden| hidden.treatment != Treatment::Keep)
            .collect()
    }

    /// A text as it may be written; nothing where it is dropped.
    fn text(&self, found: &Found<'_>) -> Option<String> {
        let form: Cow<'_, str> = if found.is_number {
            spelling::number(found.text)
        } else {
            spelling::name(found.text)
        };
        match (found.treatment, &self.mac) {
            (Treatment::Keep, _) => Some(found.text.to_owned()),
            (Treatment::Mask | Treatment::Hash, _) if form.is_empty() => Some(String::new()),
            (Treatment::Mask, _) if found.is_number => {
                let from = form.char_indices().rev().nth(1).map_or(0, |(at, _)| at);
                Some(format!("{MASK}{}", &form[from..]))
            }
            (Treatment::Mask, _) => {
                let first = form.chars().next().unwrap_or_default();
                Some(format!("{first}{MASK}"))
            }
            (Treatment::Hash, Some(mac)) => Some(digest(mac, &form)),
            // Without a key there is nothing to hash with, and nothing gets through.
            (Treatment::Drop | Treatment::Hash, _) => None,
        }
    }
}

/// What a text of this row shows, and how strictly that is treated; nothing where it shows none of
/// these columns. A text that is another spelling of a number gets the number's pseudonym.
fn found_in<'a>(text: &'a str, row: usize, hidden: &[Hidden<'a>]) -> Option<Found<'a>> {
    let mut strictest: Option<Found<'a>> = None;
    for column in hidden.iter().filter(|column| column.texts.is_valid(row)) {
        let other = column.texts.value(row);
        let found = if !column.is_of_numbers {
            spelling::holds_name(text, other).then_some((text, false))
        } else if spelling::is_number(text, other) {
            Some((other, true))
        } else {
            let is_number = spelling::looks_like_a_number(text);
            spelling::holds_number(text, other).then_some((text, is_number))
        };
        let is_stricter = |known: &Found<'_>| known.treatment >= column.treatment;
        if let Some((text, is_number)) = found
            && !strictest.as_ref().is_some_and(is_stricter)
        {
            strictest = Some(Found {
                text,
                is_number,
                treatment: column.treatment,
            });
        }
    }
    strictest
}
