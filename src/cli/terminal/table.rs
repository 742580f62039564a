//! Aligned columns of text, by the width that a terminal gives them: East Asian characters take two.

use console::{measure_text_width, truncate_str};

/// Which side of its column a text stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows of cells.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    aligns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a column for each alignment.
    pub(crate) fn new(aligns: &[Align]) -> Self {
        Self {
            aligns: aligns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; cells beyond the columns are not shown.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// The rows as lines, two spaces between columns and before the first.
    pub(crate) fn render(&self) -> String {
        let widths: Vec<usize> = (0..self.aligns.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| measure_text_width(cell))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, align), width) in row.iter().zip(&self.aligns).zip(&widths) {
                let gap = " ".repeat(width.saturating_sub(measure_text_width(cell)));
                line.push_str("  ");
                match align {
                    Align::Left => line.extend([cell.as_str(), &gap]),
                    Align::Right => line.extend([&gap, cell.as_str()]),
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A text that is safe to show: control characters are spelt out.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push('\n'),
            // Marks that turn the direction of writing could disguise what follows.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => shown.extend(c.escape_unicode()),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// A text of one line and at most `width` columns.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    let line = plain(text).replace('\n', "\\n");
    truncate_str(&line, width, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_keep_the_columns_aligned() {
        let mut table = Table::new(&[Align::Left, Align::Right]);
        table.row(["李雷", "1"]);
        table.row(["Han Meimei", "1,000"]);
        assert_eq!(table.render(), "  李雷            1\n  Han Meimei  1,000\n");
    }

    #[test]
    fn names_are_shortened_by_what_they_take_on_the_screen() {
        assert_eq!(shortened("会议室会议室", 7), "会议室…");
        assert_eq!(shortened("short", 7), "short");
    }

    #[test]
    fn nothing_from_the_api_steers_the_terminal() {
        assert_eq!(shortened("a\u{1b}[2Jb\nc", 40), "a\\u{1b}[2Jb\\nc");
        assert!(!plain("x\u{202e}y").contains('\u{202e}'));
    }
}
