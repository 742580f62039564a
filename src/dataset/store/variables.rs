//! Which variables of a store may not be as they are, before its library sees them.

use hyper::Uri;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;

use super::providers::OBS_KEYS;
use crate::config::location::{Kind, StoreOptions};
use crate::error::{Error, Result};
use crate::values::{InputKind, clean_bytes};

/// Refuses variables that a store of this kind reads and that cannot be used.
///
/// # Errors
///
/// Names the variable and what is wrong with it, never its value.
pub(super) fn check(kind: Kind, options: &StoreOptions) -> Result<()> {
    options.check(|name| is_read(kind, name))?;
    check_addresses(kind, options)?;
    refuse_client_options(kind, options)
}

/// Whether a store of this kind reads a variable.
fn is_read(kind: Kind, name: &str) -> bool {
    let key = name.to_ascii_lowercase();
    match kind {
        Kind::S3 => key.starts_with("aws_") && key.parse::<AmazonS3ConfigKey>().is_ok(),
        Kind::Obs => {
            OBS_KEYS.as_flattened().contains(&name)
                || name.starts_with("OBS_")
                || is_read(Kind::S3, name)
        }
        Kind::Google => {
            let is_own = key.starts_with("google_") && key.parse::<GoogleConfigKey>().is_ok();
            is_own || name == "SERVICE_ACCOUNT" || name.starts_with("GCE_METADATA_")
        }
        Kind::Azure => {
            let is_own = key.starts_with("azure_") && key.parse::<AzureConfigKey>().is_ok();
            is_own || name.starts_with("IDENTITY_") || name == "AZURITE_BLOB_STORAGE_URL"
        }
    }
}

/// Refuses addresses of credential services that are none: the client would end the process.
fn check_addresses(kind: Kind, options: &StoreOptions) -> Result<()> {
    const URLS: [&str; 7] = [
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_ENDPOINT_URL_STS",
        "AWS_METADATA_ENDPOINT",
        "AZURE_AUTHORITY_HOST",
        "AZURE_IDENTITY_ENDPOINT",
        "AZURE_MSI_ENDPOINT",
        "IDENTITY_ENDPOINT",
    ];
    const PATHS: [&str; 1] = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    const HOSTS: [&str; 2] = ["GCE_METADATA_HOST", "GCE_METADATA_ROOT"];
    let given = |names: &'static [&'static str], before: &'static str| {
        names
            .iter()
            .filter_map(move |name| Some((*name, format!("{before}{}", options.get(name)?))))
    };
    let addresses = given(&URLS, "")
        .chain(given(&PATHS, "http://127.0.0.1"))
        .chain(given(&HOSTS, "http://"));
    for (name, address) in addresses.filter(|(name, _)| is_read(kind, name)) {
        let is_address = |uri: Uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        };
        if !address.parse().is_ok_and(is_address) {
            let reason = "expected an address; correct or unset it";
            return Err(Error::Config(format!("the variable {name}: {reason}")));
        }
    }
    Ok(())
}

/// Refuses variables of other tools that would turn verification off or name a proxy of their own.
fn refuse_client_options(kind: Kind, options: &StoreOptions) -> Result<()> {
    let family = match kind {
        Kind::S3 | Kind::Obs => "AWS_",
        Kind::Google => "GOOGLE_",
        Kind::Azure => "AZURE_",
    };
    for (name, value) in options.family(family) {
        let key = name.strip_prefix(family).unwrap_or_default();
        let reason = match key {
            "ALLOW_INVALID_CERTIFICATES" if !matches!(value, "false" | "0") => {
                "certificates are always verified; unset it"
            }
            "PROXY_URL" | "PROXY_CA_CERTIFICATE" | "PROXY_EXCLUDES" => {
                "a proxy is named with HTTPS_PROXY and NO_PROXY; unset it"
            }
            _ => continue,
        };
        return Err(Error::Config(format!("the variable {name}: {reason}")));
    }
    Ok(())
}

/// Refuses a token file that cannot go into a header as it is: the client would end the process.
pub(super) fn check_token_file(options: &StoreOptions) -> Result<()> {
    const FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
    let is_in_use = options.get("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some()
        && options.get("AWS_ACCESS_KEY_ID").is_none();
    let Some(path) = options.get(FILE).filter(|_| is_in_use) else {
        return Ok(());
    };
    // Where there is none, the store says so in its own words.
    let Ok(token) = std::fs::read(path) else {
        return Ok(());
    };
    let reason = match clean_bytes(&token, InputKind::Token) {
        Ok(cleaned) if cleaned.as_bytes() == token => return Ok(()),
        Ok(_) => "has a blank, a line end or a byte order mark around its value: remove it".into(),
        Err(invalid) => invalid.to_string(),
    };
    let reason = format!("the file that {FILE} names {reason}");
    Err(Error::Config(reason))
}
