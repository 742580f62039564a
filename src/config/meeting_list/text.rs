//! What editors, spreadsheets and web pages leave around a UUID, and how it is shown.

use std::fmt::Write as _;

/// A no-break space in the encodings of Windows.
const ANSI_NO_BREAK_SPACE: u8 = 0xa0;

/// Cuts blanks of any alphabet and characters that cannot be seen off both ends.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    if let Ok(text) = std::str::from_utf8(text) {
        return text.trim_matches(is_blank).as_bytes();
    }
    let is_blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == ANSI_NO_BREAK_SPACE;
    let Some(first) = text.iter().position(|byte| !is_blank(byte)) else {
        return &[];
    };
    let last = text.iter().rposition(|byte| !is_blank(byte));
    text.get(first..=last.unwrap_or(first)).unwrap_or(text)
}

/// Whether a character is a blank, or has no width.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}'
                | '\u{feff}'
        )
}

/// Shows a character that cannot be seen, or be told from a blank, by its number; no other.
pub(super) fn unseen(c: char) -> Option<String> {
    if c == ' ' || !(is_blank(c) || c.is_control()) {
        return None;
    }
    let mut shown = String::new();
    // Writing into a string does not fail.
    let _ = write!(shown, "{}", c.escape_unicode());
    Some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_cut_off_both_ends_alone() {
        for (text, rest) in [
            ("\u{feff}\u{200b}a1\u{a0}\t", "a1"),
            ("\u{3000}a1\u{200e}\u{2060}", "a1"),
            (" \u{a0} ", ""),
            ("a\u{200b}1", "a\u{200b}1"),
        ] {
            assert_eq!(trimmed(text.as_bytes()), rest.as_bytes(), "{text:?}");
        }
        assert_eq!(trimmed(b"\xa0a1\xa0 "), b"a1");
        assert_eq!(trimmed(b"\xa0\xa0"), b"");
        assert_eq!(trimmed(b"\xd6\xdc"), b"\xd6\xdc");
    }

    #[test]
    fn only_what_cannot_be_seen_is_shown() {
        assert_eq!(unseen('\u{200b}').as_deref(), Some("\\u{200b}"));
        assert_eq!(unseen('\u{a0}').as_deref(), Some("\\u{a0}"));
        assert_eq!(unseen('\r').as_deref(), Some("\\u{d}"));
        assert_eq!((unseen(' '), unseen('x'), unseen('周')), (None, None, None));
    }
}
