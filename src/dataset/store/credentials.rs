//! Stores without credentials: found out soon, and told by the variables to set.
//!
//! Where no variable names credentials, an instance of the store's own cloud may still have a role,
//! which its metadata service tells at once. Elsewhere nothing answers there, and the client would ask
//! on for minutes. The service is asked once at the opening, for a bounded time. Huawei's OBS takes no
//! role of another cloud, so no metadata service is asked for it.

use std::pin::Pin;
use std::time::Duration;

use crate::config::location::{BucketUrl, Kind, StoreOptions};
use crate::error::{Error, Result};

/// Longest time for the metadata service of an instance.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks a client for its credentials.
pub(super) type Asked = Pin<Box<dyn Future<Output = object_store::Result<()>> + Send>>;

/// Whether a variable names credentials or where they come from, or says that none are needed.
pub(super) fn are_named(kind: Kind, options: &StoreOptions) -> bool {
    const AWS: [&str; 7] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_METADATA_ENDPOINT",
        "AWS_SKIP_SIGNATURE",
    ];
    let has_any = |words: &[&str]| {
        let mut names = options.family("").map(|(name, _)| name);
        names.any(|name| words.iter().any(|word| name.contains(word)))
    };
    match kind {
        Kind::S3 | Kind::Obs => options.first(&AWS).is_some(),
        Kind::Google => has_any(&[
            "SERVICE_ACCOUNT",
            "APPLICATION_CREDENTIALS",
            "GOOGLE_BEARER_TOKEN",
            "GOOGLE_SKIP_SIGNATURE",
            "GCE_METADATA_",
        ]),
        Kind::Azure => has_any(&[
            "_KEY",
            "SAS",
            "TOKEN",
            "CLIENT_ID",
            "CLIENT_SECRET",
            "SKIP_SIGNATURE",
            "AZURE_USE_",
            "AZURE_STORAGE_USE_",
            "MSI_ENDPOINT",
            "IDENTITY_",
        ]),
    }
}

/// Asks for the credentials of the instance.
///
/// # Errors
///
/// Names the variables to set where there are none within a bounded time.
pub(super) async fn prove(url: &BucketUrl, asked: Asked) -> Result<()> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(())) => Ok(()),
        // What the service of another machine or a portal said is of no use.
        Ok(Err(_)) | Err(_) => Err(lacking(url)),
    }
}

/// The error of a store without credentials.
pub(super) fn lacking(url: &BucketUrl) -> Error {
    let (names, role) = match url.kind {
        Kind::S3 => (
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            "; no role of an instance answers here",
        ),
        Kind::Obs => (
            "OBS_ACCESS_KEY_ID and OBS_SECRET_ACCESS_KEY (or AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY, or HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK)",
            "",
        ),
        Kind::Google => (
            "GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS to a key file",
            "; no account of an instance answers here",
        ),
        Kind::Azure => (
            "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
            "; no managed identity answers here",
        ),
    };
    Error::Config(format!(
        "{}: no credentials for this store: set {names}{role}",
        url.shown("")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::location;
    use crate::config::location::Target;

    fn url(dest: &str) -> BucketUrl {
        let Ok(Target::Bucket(url)) = location::parse(dest) else {
            panic!("{dest}");
        };
        url
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_never_answers_is_waited_for_no_longer_than_told() {
        let begun = tokio::time::Instant::now();
        let asked = Box::pin(std::future::pending());
        let error = prove(&url("s3://lake/x"), asked).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5));
        let said = error.to_string();
        assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
    }

    #[tokio::test]
    async fn a_role_of_the_instance_is_enough() {
        let asked = Box::pin(std::future::ready(Ok(())));
        prove(&url("s3://lake/x"), asked).await.unwrap();
    }
}
