//! The dataset's salt: a random key that belongs to one dataset and leaves it in no other file.
//!
//! A plain hash of a name or a number can be guessed by trying all names or numbers. Every digest
//! of such a text is therefore keyed with a key that is derived from the salt, one for each purpose.
//! A reader of the dataset has the salt too: it protects copies of the ledger, reports and pages of
//! the spool, not the dataset itself.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use crate::error::{Error, Result};
use crate::values::hex::hex;
use crate::values::unhex;

/// Version of the salt's form.
const SALT_VERSION: u32 = 1;

/// Bytes of a salt, and of each key that is derived from it.
const LENGTH: usize = 32;

/// Bytes of a block of SHA-256; a shorter HMAC key is filled up with zeros.
const BLOCK: usize = 64;

/// A dataset's salt. Copies are cheap, and `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct DatasetSalt(Arc<SecretBox<[u8; LENGTH]>>);

impl fmt::Debug for DatasetSalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatasetSalt")
    }
}

impl DatasetSalt {
    /// A new salt from the system's generator for secrets.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = Box::new([0; LENGTH]);
        getrandom::fill(&mut bytes[..]).map_err(|error| {
            let what = Path::new("the system's random numbers");
            Error::file("read", what)(io::Error::other(error.to_string()))
        })?;
        Ok(Self(Arc::new(SecretBox::new(bytes))))
    }

    /// The salt of a file; `path` names the file in errors.
    ///
    /// # Errors
    ///
    /// The file is damaged, or has a newer form.
    pub(crate) fn parse(path: &str, bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
            salt: SecretString,
        }
        let damaged = || Error::Dataset {
            path: path.to_owned(),
            reason: "holds no salt; restore it from a backup, or remove it and the next export \
                     makes another"
                .to_owned(),
        };
        // The cause would quote the file.
        let form: Form = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        if form.version > SALT_VERSION {
            return Err(Error::Newer {
                path: path.to_owned(),
                what: format!("salt version {}", form.version),
                known: SALT_VERSION,
            });
        }
        let salt = unhex(form.salt.expose_secret()).ok_or_else(damaged)?;
        Ok(Self(Arc::new(SecretBox::new(Box::new(salt)))))
    }

    /// The salt as a file.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let salt = hex(self.0.expose_secret());
        format!("{{\"version\":{SALT_VERSION},\"salt\":\"{salt}\"}}\n").into()
    }

    /// A name of the salt that tells nothing of it: what was keyed with a lost salt is known by it.
    pub(crate) fn id(&self) -> String {
        hex(&self.derive("name of the salt")[..4])
    }

    /// The key for one purpose: HMAC-SHA256 of its name with the salt. Keys of different purposes
    /// tell nothing of each other, or of the salt.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; LENGTH] {
        hmac(self.0.expose_secret(), purpose.as_bytes())
    }

    /// HMAC-SHA256 of a text with the key for a purpose, in lower-case hexadecimal digits.
    pub(crate) fn digest(&self, purpose: &str, text: &[u8]) -> String {
        hex(&hmac(&self.derive(purpose), text))
    }
}

fn hmac(key: &[u8; LENGTH], text: &[u8]) -> [u8; LENGTH] {
    let mut block = [0; BLOCK];
    block[..LENGTH].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(text);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const FILE: &str = "{\"version\":1,\"salt\":\
                        \"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"}\n";

    /// The same one in every test.
    pub(crate) fn salt() -> DatasetSalt {
        DatasetSalt::parse("salt", FILE.as_bytes()).unwrap()
    }

    #[test]
    fn a_key_is_what_everybody_else_computes() {
        // printf spool | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f
        assert_eq!(hex(&salt().derive("spool")[..8]), "21a0488a2ce1f607");
        assert_eq!(
            salt().digest("spool", b"text"),
            hex(&hmac(&salt().derive("spool"), b"text"))
        );
        assert_ne!(salt().derive("spool"), salt().derive("ledger"));
    }

    #[test]
    fn a_salt_comes_back_as_it_was_written() {
        assert_eq!(salt().to_bytes(), FILE.as_bytes());
        let random = DatasetSalt::random().unwrap();
        let again = DatasetSalt::parse("salt", &random.to_bytes()).unwrap();
        assert_eq!(again.derive("x"), random.derive("x"));
        assert_ne!(
            DatasetSalt::random().unwrap().derive("x"),
            random.derive("x")
        );
    }

    #[test]
    fn a_salt_is_never_shown() {
        let digits = "00010203";
        assert_eq!(format!("{:?}", salt()), "DatasetSalt");
        for damaged in [
            FILE.replace("\"salt\"", "\"salz\""),
            FILE.replace("1f\"", "\""),
            FILE.replace("1f\"", "1F\""),
            FILE.replace("\"000102", "\"\u{e9}00102"),
            FILE.replace("}\n", ""),
            FILE.replace(":1", ":2"),
            String::new(),
        ] {
            let error = DatasetSalt::parse("_rollbook/salt", damaged.as_bytes()).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(
                text.contains("_rollbook/salt") && !text.contains(digits),
                "{text}"
            );
        }
    }
}
