//! Spellings of one text: which form is hashed, and whether a text holds another.
//!
//! One name has two encodings (`é` as one character or as two), and one number has many ways to be
//! written. A pseudonym that joins needs one form of each. Pure.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

const NFC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfc();
const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizerBorrowed::new_nfkc();

/// Shortest number that is looked for inside other texts; a shorter one is there by chance.
const SHORTEST_NUMBER: usize = 6;

/// Shortest name that is looked for inside other texts.
const SHORTEST_NAME: usize = 2;

/// What people write between the digits of a number, beside blanks.
const BETWEEN_DIGITS: &str = "+-.()/*#";

/// The form of a name, or of any other text: NFC.
pub(super) fn name(text: &str) -> Cow<'_, str> {
    NFC.normalize(text)
}

/// The form of a number: NFC, without blanks (Unicode `White_Space`, no-break spaces included).
pub(super) fn number(text: &str) -> Cow<'_, str> {
    let text = NFC.normalize(text);
    if text.contains(char::is_whitespace) {
        text.split_whitespace().collect::<String>().into()
    } else {
        text
    }
}

/// Whether a text is the same number as this one but for blanks, `+`, punctuation, case and width.
pub(super) fn is_number(text: &str, number: &str) -> bool {
    let number = bare(number);
    !number.is_empty() && bare(text) == number
}

/// Whether a text shows this number: the same one, one inside a longer text, or all but the first
/// digits of it.
pub(super) fn holds_number(text: &str, number: &str) -> bool {
    let (text, number) = (bare(text), bare(number));
    let is_long = |found: &str| found.chars().nth(SHORTEST_NUMBER - 1).is_some();
    let is_part = is_long(&text) && text.chars().all(char::is_numeric) && number.contains(&text);
    !number.is_empty() && (text == number || is_long(&number) && text.contains(&number) || is_part)
}

/// Whether a text is nothing but a number.
pub(super) fn looks_like_a_number(text: &str) -> bool {
    let text = compatible(text);
    let is_digit = |char: &char| char.is_numeric();
    let is_between = |char: char| char.is_whitespace() || BETWEEN_DIGITS.contains(char);
    text.chars().filter(is_digit).count() >= SHORTEST_NUMBER
        && text.chars().all(|char| is_digit(&char) || is_between(char))
}

/// Whether a text has this name in it, in whatever case; not as a piece of a longer word.
pub(super) fn holds_name(text: &str, name: &str) -> bool {
    let lower = |text: &str| compatible(text).to_lowercase();
    let (text, name) = (lower(text), lower(name.trim()));
    if name.chars().nth(SHORTEST_NAME - 1).is_none() {
        return false;
    }
    // Scripts without blanks have no other boundaries.
    let is_word = |char: Option<char>| char.is_some_and(|char| char.is_ascii_alphanumeric());
    let (first, last) = (name.chars().next(), name.chars().next_back());
    text.match_indices(&name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !(is_word(first) && is_word(before) || is_word(last) && is_word(after))
    })
}

/// The letters and digits of a text, in lower case and usual width.
fn bare(text: &str) -> String {
    let text = compatible(text);
    let kept = text.chars().filter(|char| char.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

fn compatible(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        text.into()
    } else {
        NFKC.normalize(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_has_one_form_and_one_number_too() {
        assert_eq!(name("Ame\u{301}lie"), name("Am\u{e9}lie"));
        assert_ne!(name("Am\u{e9}lie "), name("Am\u{e9}lie"));
        for spelling in [
            "+99 1116 004380",
            "+991116004380 ",
            "\u{a0}+99\u{a0}1116\u{202f}004380",
            "+99\t1116\u{3000}004380\n",
        ] {
            assert_eq!(number(spelling), "+991116004380", "{spelling:?}");
        }
        assert_eq!(number("  \u{a0}"), "");
    }

    #[test]
    fn a_number_is_found_in_every_spelling() {
        let ours = "+991116004380";
        for text in [
            "+991116004380",
            "991116004380",
            "+99 1116 004380",
            "(+99) 1116-004380",
            "\u{ff0b}\u{ff19}\u{ff19}1116004380",
        ] {
            assert!(is_number(text, ours) && holds_number(text, ours), "{text}");
        }
        for text in ["Guest +99 1116004380", "00991116004380", "1116 004380"] {
            assert!(!is_number(text, ours) && holds_number(text, ours), "{text}");
        }
        for text in ["Alice", "", "+", "99111", "+991116004381", "4380"] {
            assert!(!holds_number(text, ours), "{text}");
        }
        // A short number is found alone, not inside something else.
        assert!(holds_number("1001", "1001") && !holds_number("Room 1001", "1001"));
        assert!(!holds_number("", "") && !holds_number("Alice", "+"));
    }

    #[test]
    fn what_is_nothing_but_a_number_is_seen_without_another() {
        for text in ["+991116004380", "(010) 1234-56", "\u{ff11}23456"] {
            assert!(looks_like_a_number(text), "{text}");
        }
        for text in ["", "12345", "Room 123456", "123456 Alice", "------"] {
            assert!(!looks_like_a_number(text), "{text}");
        }
    }

    #[test]
    fn a_name_is_found_in_every_case_and_encoding() {
        assert!(holds_name("AME\u{301}LIE's meeting", "Am\u{e9}lie"));
        assert!(holds_name(
            "\u{738b}\u{5c0f}\u{660e}\u{7684}\u{4f1a}\u{8bae}",
            "\u{738b}\u{5c0f}\u{660e}"
        ));
        for (text, name) in [
            ("Budget", "Alice"),
            ("Normal", "Al"),
            ("a b", "a"),
            ("Budget", ""),
            ("a  b", "  "),
        ] {
            assert!(!holds_name(text, name), "{text}");
        }
    }
}
