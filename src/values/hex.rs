//! Bytes as text, as `sha256sum` and the API write them.

/// Lower-case hexadecimal digits, two a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// The bytes of so many lower-case hexadecimal digits, two a byte; nothing where the text is
/// anything else.
pub(crate) fn unhex<const BYTES: usize>(text: &str) -> Option<[u8; BYTES]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().map(digit).collect::<Option<_>>()?;
    if digits.len() != 2 * BYTES {
        return None;
    }
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    bytes.collect::<Vec<_>>().try_into().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn each_byte_has_two_digits() {
        assert_eq!(super::hex(&[0x00, 0x0a, 0xff]), "000aff");
        assert_eq!(super::unhex("000aff"), Some([0x00, 0x0a, 0xff]));
    }

    #[test]
    fn other_texts_are_no_bytes() {
        for text in ["", "0", "00a", "00aa", "0A", "0g", "+0", "\u{660}"] {
            assert_eq!(super::unhex::<1>(text), None, "{text}");
        }
    }
}
