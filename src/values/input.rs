//! Values that come from outside the process: variables, secret files, settings, output of commands.
//!
//! One function cleans and judges all of them:
//!
//! 1. a byte order mark at the beginning and one line end at the end (LF, CRLF or CR) are removed;
//! 2. blanks around the value are removed, unless it is a password, and blank lines around a document;
//! 3. a value in quotes, or with a control character, is refused.
//!
//! Errors name what is wrong and never repeat the value.

/// What a value from outside may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// A secret or an identifier of a machine: printable ASCII without blanks, as headers and URLs
    /// carry it.
    Token,
    /// One word of any alphabet.
    Word,
    /// A text on one line: a path, a name, a setting.
    Text,
    /// A text on one line in printable ASCII, as a header carries it.
    Header,
    /// A password of a person: as a text, but blanks at its ends are a part of it.
    Password,
    /// A document of several lines, such as a key in JSON.
    Document,
}

/// Why a value from outside is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInput {
    /// Nothing is left of it.
    #[error("is empty")]
    Empty,
    /// The bytes are no UTF-8.
    #[error("is not a text in UTF-8")]
    Encoding,
    /// Quotes around the whole: a shell would have removed them.
    #[error("is in quotes: remove them")]
    Quoted,
    /// A line end, a tab or another control character.
    #[error("holds more than one line: it must hold the value alone")]
    Lines,
    /// A control character that ends no line.
    #[error("holds a control character: remove it")]
    Control,
    /// A blank inside a word.
    #[error("holds more than one word: it must hold the value alone")]
    Words,
    /// A character that no header can carry.
    #[error("holds a character that is no printable ASCII")]
    Ascii,
}

/// Cleans a value from outside and checks it.
///
/// # Errors
///
/// The value is empty, quoted, or holds what its kind must not hold.
pub fn clean(text: &str, kind: InputKind) -> Result<&str, InvalidInput> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut text = text.strip_suffix('\r').unwrap_or(text);
    match kind {
        InputKind::Password => {}
        InputKind::Document => text = text.trim(),
        _ => text = text.trim_matches(is_blank),
    }
    if text.is_empty() {
        return Err(InvalidInput::Empty);
    }
    if is_quoted(text) {
        return Err(InvalidInput::Quoted);
    }
    let is_allowed = |c: char| kind == InputKind::Document && matches!(c, '\n' | '\r' | '\t');
    if let Some(found) = text.chars().find(|&c| c.is_control() && !is_allowed(c)) {
        return Err(match found {
            '\n' | '\r' => InvalidInput::Lines,
            _ => InvalidInput::Control,
        });
    }
    if matches!(kind, InputKind::Token | InputKind::Word) && text.contains(char::is_whitespace) {
        return Err(InvalidInput::Words);
    }
    if matches!(kind, InputKind::Token | InputKind::Header) && !text.is_ascii() {
        return Err(InvalidInput::Ascii);
    }
    Ok(text)
}

/// Cleans a value that may be no text at all.
///
/// # Errors
///
/// As [`clean`], and where the bytes are no UTF-8.
pub fn clean_bytes(bytes: &[u8], kind: InputKind) -> Result<&str, InvalidInput> {
    let text = std::str::from_utf8(bytes).map_err(|_| InvalidInput::Encoding)?;
    clean(text, kind)
}

/// A blank that neither ends a line nor is a control character; a tab counts as one.
fn is_blank(c: char) -> bool {
    c == '\t' || (c.is_whitespace() && !c.is_control())
}

/// Whether quotes stand around the whole.
fn is_quoted(text: &str) -> bool {
    let pairs = [
        ('"', '"'),
        ('\'', '\''),
        ('`', '`'),
        ('\u{201c}', '\u{201d}'),
        ('\u{2018}', '\u{2019}'),
    ];
    let mut chars = text.chars();
    let ends = chars.next().zip(chars.next_back());
    ends.is_some_and(|ends| pairs.contains(&ends))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [InputKind; 6] = [
        InputKind::Token,
        InputKind::Word,
        InputKind::Text,
        InputKind::Header,
        InputKind::Password,
        InputKind::Document,
    ];

    #[test]
    fn a_mark_one_line_end_and_blanks_around_are_removed() {
        for text in [
            "hunter2",
            "hunter2\n",
            "hunter2\r\n",
            "hunter2\r",
            "\u{feff}hunter2\r\n",
            "\u{feff} \thunter2\u{a0} \n",
        ] {
            for kind in KINDS
                .into_iter()
                .filter(|&kind| kind != InputKind::Password)
            {
                assert_eq!(clean(text, kind), Ok("hunter2"), "{text:?} {kind:?}");
            }
        }
    }

    #[test]
    fn a_password_keeps_its_blanks() {
        let password = clean("\u{feff} open sesame \r\n", InputKind::Password);
        assert_eq!(password, Ok(" open sesame "));
    }

    #[test]
    fn what_no_value_of_its_kind_holds_is_refused() {
        use InputKind::{Document, Header, Password, Text, Token, Word};
        for (text, kind, reason) in [
            ("\n", Token, InvalidInput::Empty),
            ("\u{feff}", Password, InvalidInput::Empty),
            ("\n\t\n", Document, InvalidInput::Empty),
            ("\"a\"", Token, InvalidInput::Quoted),
            ("'a'\n", Password, InvalidInput::Quoted),
            ("\"a\"", Document, InvalidInput::Quoted),
            ("a\n\n", Token, InvalidInput::Lines),
            ("a\nb", Password, InvalidInput::Lines),
            ("\na", Word, InvalidInput::Lines),
            ("a\u{7}", Text, InvalidInput::Control),
            ("a\tb", Text, InvalidInput::Control),
            ("a\u{0}b", Document, InvalidInput::Control),
            ("a b", Token, InvalidInput::Words),
            ("a\u{3000}b", Word, InvalidInput::Words),
            ("ä", Token, InvalidInput::Ascii),
            ("ä b", Header, InvalidInput::Ascii),
        ] {
            assert_eq!(clean(text, kind), Err(reason), "{text:?} {kind:?}");
        }
        assert_eq!(clean_bytes(b"a\xff", Text), Err(InvalidInput::Encoding));
        assert_eq!(
            clean("{\n\t\"a\": 1\r\n}\n", Document),
            Ok("{\n\t\"a\": 1\r\n}")
        );
        assert_eq!(clean("\n{\n}\n\n", Document), Ok("{\n}"));
        assert_eq!(clean("O'Neill's", Text), Ok("O'Neill's"));
        assert_eq!(clean("\"", Text), Ok("\""));
    }

    proptest! {
        #[test]
        fn what_is_clean_stays_as_it_is(text in "\\PC{0,20}|[\u{feff}\"' \t\r\n\u{0}-\u{1f}a]{0,9}") {
            for kind in KINDS {
                if let Ok(once) = clean(&text, kind) {
                    prop_assert!(!once.is_empty());
                    if kind == InputKind::Token {
                        prop_assert!(reqwest::header::HeaderValue::from_str(once).is_ok());
                    }
                    // A second mark, or a second pair of blanks behind it, is a value of its own.
                    if !once.starts_with('\u{feff}') {
                        prop_assert_eq!(clean(once, kind), Ok(once));
                    }
                }
            }
        }
    }
}
