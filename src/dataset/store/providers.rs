//! Buckets: from what a destination names and the variables say to a client of the store.
//!
//! What the variables mean is `object_store`'s to say, by the names of each ecosystem's own tools.
//! Decided here: no request leaves in the clear unless that was permitted, no request waits for
//! ever, and Huawei's OBS is spoken to as it wants to be.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, CredentialProvider, ObjectStore, RetryConfig};
use url::{Host, Url};

use super::credentials::Asked;
use super::transport::Transport;
use super::{credentials, redact, variables};
use crate::config::location::{BucketUrl, Kind, Place, StoreOptions};
use crate::config::proxy_rule;
use crate::error::{Error, Result};

/// For one request, the body of a part's piece included.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Attempts of the client itself, beside the first. What it gives up is tried anew with fresh
/// credentials.
const RETRIES: usize = 3;

/// A store in a network.
pub(super) struct Client {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) pieces: Arc<dyn MultipartStore>,
    /// For one request.
    pub(super) timeout: Duration,
    /// Where the requests go, as far as that was said.
    pub(super) endpoint: String,
    /// Asks for credentials that no variable names; nothing where one does.
    pub(super) unnamed: Option<Asked>,
}

/// The client for a bucket.
pub(super) fn connect(url: &BucketUrl, place: &Place) -> Result<Client> {
    let options = &place.options;
    variables::check(url.kind, options)?;
    let prefix = Path::from_url_path(&url.path)
        .map_err(|error| Error::Config(format!("{}: {error}", url.shown(""))))?;
    let timeout = timeout(url.kind, options)?;
    let retry = RetryConfig {
        backoff: BackoffConfig {
            // The client draws a delay from between the two, and dies where there is nothing.
            init_backoff: timeout / 600,
            max_backoff: timeout / 10,
            base: 2.,
        },
        max_retries: RETRIES,
        retry_timeout: timeout,
    };
    let plan = Plan {
        url,
        options,
        allow_http: place.allow_http,
        retry,
        timeout,
    };
    let is_named = credentials::are_named(url.kind, options);
    let client = match url.kind {
        Kind::S3 | Kind::Obs => plan.s3(prefix)?,
        Kind::Google => plan.google(prefix)?,
        Kind::Azure => plan.azure(prefix)?,
    };
    Ok(Client {
        unnamed: client.unnamed.filter(|_| !is_named),
        ..client
    })
}

struct Plan<'a> {
    url: &'a BucketUrl,
    options: &'a StoreOptions,
    allow_http: bool,
    retry: RetryConfig,
    timeout: Duration,
}

impl Plan<'_> {
    fn s3(&self, prefix: Path) -> Result<Client> {
        variables::check_token_file(self.options)?;
        let endpoint = self.options.first(&AWS_ENDPOINTS);
        let obs = match endpoint {
            _ if self.url.kind == Kind::Obs => Some(Obs::find(self.url, self.options)?),
            Some(endpoint) if is_of_obs(endpoint) => Some(Obs::find(self.url, self.options)?),
            _ => None,
        };
        let endpoint = obs.as_ref().map_or(endpoint, |obs| Some(&obs.endpoint));
        let mut builder = AmazonS3Builder::new()
            .with_http_connector(self.transport())
            .with_client_options(self.client(endpoint)?)
            .with_retry(self.retry.clone())
            // One object a request is what every such store can do.
            .with_disable_bulk_delete(true);
        for (name, value) in self.variables("AWS_") {
            // Of several endpoints, the one that was checked is used.
            let is_replaced =
                AWS_ENDPOINTS.contains(&name) || obs.is_some() && AWS_KEYS.contains(&name);
            if is_replaced {
                continue;
            }
            if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        if let Some(obs) = &obs {
            builder = builder
                .with_endpoint(&obs.endpoint)
                .with_virtual_hosted_style_request(obs.is_virtual)
                .with_region(&obs.region);
            if let [Some(key), Some(secret), token] = obs.keys {
                builder = builder
                    .with_access_key_id(key)
                    .with_secret_access_key(secret);
                builder = token.into_iter().fold(builder, AmazonS3Builder::with_token);
            }
        }
        if obs.is_none()
            && let Some(endpoint) = endpoint
        {
            builder = builder.with_endpoint(endpoint);
        }
        let endpoint = endpoint.unwrap_or_default().to_owned();
        let built = builder.with_bucket_name(&self.url.bucket).build();
        let built = self.usable(built)?;
        let unnamed = ask(Arc::clone(built.credentials()));
        Ok(self.client_of(built, prefix, endpoint, unnamed))
    }

    fn google(&self, prefix: Path) -> Result<Client> {
        let endpoint = self.options.get("GOOGLE_BASE_URL");
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_http_connector(self.transport())
            .with_client_options(self.client(endpoint)?)
            .with_retry(self.retry.clone());
        if let Some(path) = self.options.get("SERVICE_ACCOUNT") {
            builder = builder.with_service_account_path(path);
        }
        for (name, value) in self.variables("GOOGLE_") {
            if let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let endpoint = endpoint.unwrap_or_default().to_owned();
        let built = builder.with_bucket_name(&self.url.bucket).build();
        let built = self.usable(built)?;
        let unnamed = ask(Arc::clone(built.credentials()));
        Ok(self.client_of(built, prefix, endpoint, unnamed))
    }

    fn azure(&self, prefix: Path) -> Result<Client> {
        let emulator = self.options.get("AZURE_STORAGE_USE_EMULATOR");
        // The emulator may be on another machine, and is spoken to in the clear.
        let endpoint = match emulator {
            Some(text) if !matches!(text, "false" | "0") => {
                self.options.get("AZURITE_BLOB_STORAGE_URL")
            }
            _ => self.options.first(&AZURE_ENDPOINTS),
        };
        let mut builder = MicrosoftAzureBuilder::new()
            .with_http_connector(self.transport())
            .with_client_options(self.client(endpoint)?)
            .with_retry(self.retry.clone());
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint.to_owned());
        }
        if let Some(endpoint) = self.options.get("IDENTITY_ENDPOINT") {
            builder = builder.with_msi_endpoint(endpoint);
        }
        for (name, value) in self.variables("AZURE_") {
            if AZURE_ENDPOINTS.contains(&name) {
                continue;
            }
            if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
                builder = builder.with_config(key, value);
            }
        }
        let account = self.options.get("AZURE_STORAGE_ACCOUNT_NAME");
        let endpoint = [endpoint, account].map(Option::unwrap_or_default).concat();
        let built = builder.with_url(format!("{}/", self.url.base)).build();
        let built = self.usable(built)?;
        let unnamed = ask(Arc::clone(built.credentials()));
        Ok(self.client_of(built, prefix, endpoint, unnamed))
    }

    fn client_of(
        &self,
        store: impl MultipartStore + ObjectStore,
        prefix: Path,
        endpoint: String,
        unnamed: Asked,
    ) -> Client {
        let store = Arc::new(PrefixStore::new(store, prefix));
        Client {
            objects: Arc::clone(&store) as _,
            pieces: store,
            timeout: self.timeout,
            endpoint,
            unnamed: Some(unnamed),
        }
    }

    /// Each variable of a family, but for those that say what is decided here.
    fn variables(&self, family: &'static str) -> impl Iterator<Item = (&str, &str)> {
        let is_free = move |(name, _): &(&str, &str)| {
            let name = name.strip_prefix(family).unwrap_or_default();
            !DECIDED.contains(&name)
        };
        self.options.family(family).filter(is_free)
    }

    fn transport(&self) -> Transport {
        Transport {
            timeout: self.timeout,
        }
    }

    /// What requests are permitted; refuses to send any in the clear.
    fn client(&self, endpoint: Option<&str>) -> Result<ClientOptions> {
        let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let url = endpoint.and_then(|endpoint| Url::parse(endpoint).ok());
        let is_other = |url: &Url| {
            let has_secret =
                !url.username().is_empty() || url.password().is_some() || url.query().is_some();
            has_secret || !url.has_host() || !matches!(url.scheme(), "http" | "https")
        };
        if endpoint.is_some() && url.as_ref().is_none_or(is_other) {
            return Err(Error::Config(format!(
                "the endpoint of {} must be a URL of scheme, host and port alone",
                self.url.shown("")
            )));
        }
        if is_plain && !self.allow_http && !url.is_some_and(|url| proxy_rule::is_loopback(&url)) {
            return Err(Error::Config(format!(
                "the endpoint of {}: http would send records in the clear; use https, or \
                 allow_http where the network is trusted",
                self.url.shown("")
            )));
        }
        Ok(ClientOptions::new()
            .with_allow_http(is_plain)
            .with_timeout(self.timeout))
    }

    /// What was built, or what the variables lack.
    fn usable<T>(&self, built: object_store::Result<T>) -> Result<T> {
        built.map_err(|error| {
            let reason = redact::told(&error, self.options.secrets());
            Error::Config(format!("{}: {reason}", self.url.shown("")))
        })
    }
}

/// Asks a provider for credentials.
fn ask<T: Send + Sync + 'static>(provider: Arc<dyn CredentialProvider<Credential = T>>) -> Asked {
    Box::pin(async move { provider.get_credential().await.map(drop) })
}

/// What variables of any family say, and is decided here.
const DECIDED: [&str; 7] = [
    "ALLOW_HTTP",
    "ALLOW_INVALID_CERTIFICATES",
    "BUCKET",
    "BUCKET_NAME",
    // The store is tried out.
    "CONDITIONAL_PUT",
    "CONTAINER_NAME",
    "TIMEOUT",
];

/// The variables that say where Azure's store is, the first one first.
const AZURE_ENDPOINTS: [&str; 2] = ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"];

/// The variables that say where S3 is, the first one first.
const AWS_ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

const AWS_KEYS: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// The variables that have credentials for OBS, in the order in which they count.
pub(super) const OBS_KEYS: [[&str; 3]; 3] = [
    [
        "OBS_ACCESS_KEY_ID",
        "OBS_SECRET_ACCESS_KEY",
        "OBS_SECURITY_TOKEN",
    ],
    AWS_KEYS,
    [
        "HUAWEICLOUD_SDK_AK",
        "HUAWEICLOUD_SDK_SK",
        "HUAWEICLOUD_SDK_SECURITY_TOKEN",
    ],
];

/// How Huawei's OBS is spoken to: as S3, with the bucket before the host.
struct Obs<'a> {
    endpoint: String,
    is_virtual: bool,
    region: String,
    /// Key, secret and, for a while only, token.
    keys: [Option<&'a str>; 3],
}

impl<'a> Obs<'a> {
    fn find(url: &BucketUrl, options: &'a StoreOptions) -> Result<Self> {
        let region = options.first(&["OBS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"]);
        let given = options.get("OBS_ENDPOINT");
        let given = given.or_else(|| options.first(&AWS_ENDPOINTS));
        let Some(base) = given.map(str::to_owned).or_else(|| region.map(of_region)) else {
            return Err(Error::Config(format!(
                "{}: where is it? set OBS_REGION, as cn-north-4, or OBS_ENDPOINT",
                url.shown("")
            )));
        };
        let region = region.map(str::to_owned).or_else(|| region_of(&base));
        let (endpoint, is_virtual) = address(&base, &url.bucket)?;
        let mut keys = OBS_KEYS.iter().map(|keys| keys.map(|key| options.get(key)));
        let keys = keys.find(|[key, secret, _]| key.is_some() && secret.is_some());
        let unsigned = options.get("AWS_SKIP_SIGNATURE");
        let is_unsigned = unsigned.is_some_and(|text| !matches!(text, "false" | "0"));
        if keys.is_none() && !is_unsigned {
            return Err(credentials::lacking(url));
        }
        Ok(Self {
            endpoint,
            is_virtual,
            region: region.unwrap_or_else(|| "cn-north-4".to_owned()),
            keys: keys.unwrap_or_default(),
        })
    }
}

/// Ends the names of OBS' hosts.
const OBS_HOSTS: [&str; 2] = [".myhuaweicloud.com", ".myhuaweicloud.eu"];

fn is_of_obs(endpoint: &str) -> bool {
    let url = Url::parse(endpoint).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    OBS_HOSTS.iter().any(|end| host.ends_with(end))
}

fn of_region(region: &str) -> String {
    format!("https://obs.{region}.myhuaweicloud.com")
}

/// The region that an OBS host names: `obs.cn-north-4.myhuaweicloud.com`.
fn region_of(endpoint: &str) -> Option<String> {
    let url = Url::parse(endpoint).ok()?;
    let rest = url.host_str()?.split_once("obs.")?.1;
    let region = OBS_HOSTS.iter().find_map(|end| rest.strip_suffix(end))?;
    Some(region.to_owned())
}

/// The endpoint with the bucket before its host, and whether it is there: an address has no names
/// before it.
fn address(endpoint: &str, bucket: &str) -> Result<(String, bool)> {
    let refuse = || Error::Config("OBS_ENDPOINT: expected https://HOST".to_owned());
    let mut url = Url::parse(endpoint).map_err(|_| refuse())?;
    let host = match url.host().ok_or_else(refuse)? {
        Host::Domain(host) if host != "localhost" => host.to_owned(),
        _ => return Ok((endpoint.to_owned(), false)),
    };
    if !host.starts_with(&format!("{bucket}.")) {
        url.set_host(Some(&format!("{bucket}.{host}")))
            .map_err(|_| refuse())?;
    }
    Ok((url.as_str().trim_end_matches('/').to_owned(), true))
}

/// How long one request may take, as the variable of the kind says.
fn timeout(kind: Kind, options: &StoreOptions) -> Result<Duration> {
    let name = match kind {
        Kind::S3 | Kind::Obs => "AWS_TIMEOUT",
        Kind::Google => "GOOGLE_TIMEOUT",
        Kind::Azure => "AZURE_TIMEOUT",
    };
    let given = options.get(name).map(humantime::parse_duration);
    match given {
        None => Ok(TIMEOUT),
        Some(Ok(timeout)) if timeout >= Duration::from_millis(100) => Ok(timeout),
        Some(_) => Err(Error::Config(format!("{name}: expected a time, as 60s"))),
    }
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt as _;

    use super::*;
    use crate::config::location;
    use crate::config::location::Target;

    fn connected(dest: &str, variables: &[(&str, &str)], allow_http: bool) -> Result<String> {
        let Target::Bucket(url) = location::parse(dest)? else {
            panic!("{dest}");
        };
        let place = Place {
            options: StoreOptions::of(variables.iter().copied()),
            allow_http,
            ..dest.into()
        };
        connect(&url, &place).map(|client| client.endpoint)
    }

    #[test]
    fn obs_is_found_by_its_region_or_its_endpoint_with_the_bucket_before_the_host() {
        let there = "https://lake.obs.cn-south-1.myhuaweicloud.com";
        let keys = [("OBS_ACCESS_KEY_ID", "ak"), ("OBS_SECRET_ACCESS_KEY", "sk")];
        for (dest, name, value) in [
            ("obs://lake/x", "OBS_REGION", "cn-south-1"),
            ("obs://lake/x", "AWS_REGION", "cn-south-1"),
            (
                "obs://lake/x",
                "OBS_ENDPOINT",
                "https://obs.cn-south-1.myhuaweicloud.com/",
            ),
            ("obs://lake/x", "OBS_ENDPOINT", there),
            (
                "s3://lake/x",
                "AWS_ENDPOINT_URL",
                "https://obs.cn-south-1.myhuaweicloud.com",
            ),
        ] {
            let variables = [keys[0], keys[1], (name, value)];
            let endpoint = connected(dest, &variables, false).unwrap();
            assert_eq!(endpoint, there, "{name}");
        }
        let error = connected("obs://lake/x", &keys, false).unwrap_err();
        assert!(error.to_string().contains("OBS_REGION"), "{error}");
    }

    #[test]
    fn obs_without_its_keys_is_refused_before_anything_is_asked() {
        for variables in [
            &[("OBS_REGION", "cn-north-4")][..],
            &[("OBS_REGION", "cn-north-4"), ("OBS_ACCESS_KEY_ID", "ak")],
            &[
                ("OBS_REGION", "cn-north-4"),
                ("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1"),
            ],
            &[
                ("OBS_REGION", "cn-north-4"),
                ("AWS_SKIP_SIGNATURE", "false"),
            ],
        ] {
            let error = connected("obs://lake/x", variables, false).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("OBS_SECRET_ACCESS_KEY"), "{said}");
            assert!(said.contains("HUAWEICLOUD_SDK_SK"), "{said}");
        }
        let bare = [("OBS_REGION", "cn-north-4"), ("AWS_SKIP_SIGNATURE", "true")];
        assert!(connected("obs://lake/x", &bare, false).is_ok());
    }

    #[test]
    fn records_travel_in_the_clear_only_on_this_machine_or_where_that_is_permitted() {
        let connect = |endpoint, allow_http| {
            let variables = [
                ("AWS_ENDPOINT_URL", endpoint),
                ("AWS_ACCESS_KEY_ID", "key"),
                ("AWS_SECRET_ACCESS_KEY", "hunter2"),
                ("AWS_ALLOW_HTTP", "true"),
            ];
            connected("s3://lake", &variables, allow_http)
        };
        for endpoint in [
            "http://127.0.0.1:9",
            "http://[::1]:9",
            "https://minio.example.com",
        ] {
            assert_eq!(connect(endpoint, false).unwrap(), endpoint);
        }
        assert!(connect("http://minio.example.com", true).is_ok());
        for endpoint in [
            "http://minio.example.com",
            "https://key:hunter2@minio.example.com",
            "https://minio.example.com?sig=hunter2",
            "minio.example.com",
        ] {
            let error = connect(endpoint, false).unwrap_err();
            assert!(!error.chain().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn every_kind_of_bucket_can_be_named() {
        let azure = [
            ("AZURE_STORAGE_ACCOUNT_NAME", "me"),
            ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg=="),
        ];
        assert_eq!(connected("az://lake/x", &azure, false).unwrap(), "me");
        let hadoop = "abfss://lake@me.dfs.core.windows.net/x";
        assert!(connected(hadoop, &azure[1..], false).is_ok());
        let google = [("GOOGLE_SKIP_SIGNATURE", "true")];
        assert!(connected("gs://lake/x", &google, false).is_ok());
        let error = connected("az://lake/x", &[], false).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
    }

    #[test]
    fn an_emulator_on_another_machine_is_not_spoken_to_in_the_clear() {
        let connect = |url| {
            let variables = [
                ("AZURE_STORAGE_USE_EMULATOR", "true"),
                ("AZURITE_BLOB_STORAGE_URL", url),
            ];
            connected("az://lake/x", &variables, false)
        };
        let error = connect("http://azurite.example.com:10000").unwrap_err();
        assert!(error.to_string().contains("in the clear"), "{error}");
        connect("http://127.0.0.1:10000").unwrap();
    }

    #[test]
    fn an_address_that_is_no_url_of_a_host_is_refused() {
        for endpoint in [
            "mailto:me",
            "data:x",
            "unix:/run/store",
            "ftp://lake.example.com",
        ] {
            for name in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
                let error = connected("s3://lake", &[(name, endpoint)], false).unwrap_err();
                assert!(matches!(error, Error::Config(_)), "{endpoint}: {error}");
            }
            let azure = [
                ("AZURE_STORAGE_ACCOUNT_NAME", "me"),
                ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg=="),
                ("AZURE_STORAGE_ENDPOINT", endpoint),
            ];
            assert!(connected("az://lake", &azure, false).is_err(), "{endpoint}");
            let google = [("GOOGLE_BASE_URL", endpoint)];
            assert!(
                connected("gs://lake", &google, false).is_err(),
                "{endpoint}"
            );
        }
    }

    #[test]
    fn no_variable_turns_verification_off_or_names_another_proxy() {
        for family in ["AWS", "AZURE", "GOOGLE"] {
            let dest = match family {
                "AWS" => "s3://lake",
                "AZURE" => "az://lake",
                _ => "gs://lake",
            };
            for (key, value) in [
                ("ALLOW_INVALID_CERTIFICATES", "true"),
                ("PROXY_URL", "http://127.0.0.1:9"),
                ("PROXY_EXCLUDES", "x"),
            ] {
                let name = format!("{family}_{key}");
                let error = connected(dest, &[(name.as_str(), value)], false).unwrap_err();
                assert!(error.to_string().contains(&name), "{error}");
            }
        }
    }

    /// A variable's worst values: each is cleaned, refused by its name, or fails as a request does.
    #[expect(clippy::too_many_lines, reason = "a table of all variables")]
    #[tokio::test]
    async fn no_value_of_any_variable_makes_the_client_panic() {
        const WORST: [&str; 5] = [
            "hunter2\n",
            "hunter2 hunter2",
            "h\u{fc}nter2",
            "<hunter2>{|}^`\\",
            "/../?#%zz@:hunter2",
        ];
        let s3 = [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_TOKEN",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_STS",
            "AWS_METADATA_ENDPOINT",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_ROLE_ARN",
            "AWS_ROLE_SESSION_NAME",
            "AWS_CHECKSUM_ALGORITHM",
            "AWS_SERVER_SIDE_ENCRYPTION",
            "AWS_SSE_KMS_KEY_ID",
            "AWS_SSE_CUSTOMER_KEY_BASE64",
            "AWS_USER_AGENT",
            "AWS_DEFAULT_CONTENT_TYPE",
            "AWS_CONNECT_TIMEOUT",
            "AWS_TIMEOUT",
        ];
        let obs = [
            "OBS_REGION",
            "OBS_ENDPOINT",
            "OBS_ACCESS_KEY_ID",
            "OBS_SECRET_ACCESS_KEY",
            "OBS_SECURITY_TOKEN",
            "HUAWEICLOUD_SDK_AK",
            "HUAWEICLOUD_SDK_SK",
            "HUAWEICLOUD_SDK_SECURITY_TOKEN",
        ];
        let google = [
            "GOOGLE_BASE_URL",
            "GOOGLE_SERVICE_ACCOUNT",
            "GOOGLE_SERVICE_ACCOUNT_KEY",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "GOOGLE_BEARER_TOKEN",
            "SERVICE_ACCOUNT",
            "GCE_METADATA_HOST",
        ];
        let azure = [
            "AZURE_STORAGE_ACCOUNT_NAME",
            "AZURE_STORAGE_ACCOUNT_KEY",
            "AZURE_STORAGE_SAS_TOKEN",
            "AZURE_STORAGE_TOKEN",
            "AZURE_STORAGE_ENDPOINT",
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
            "AZURE_TENANT_ID",
            "AZURE_AUTHORITY_HOST",
            "AZURE_MSI_ENDPOINT",
            "AZURE_OBJECT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_STORAGE_ENCRYPTION_KEY",
            "AZURE_CREDENTIAL_TYPE",
            "IDENTITY_ENDPOINT",
            "IDENTITY_HEADER",
        ];
        // Nobody listens there.
        let nobody = "http://127.0.0.1:1";
        let mut tried = tokio::task::JoinSet::new();
        for (dest, usual, names) in [
            (
                "s3://lake/x",
                vec![
                    ("AWS_ACCESS_KEY_ID", "ak"),
                    ("AWS_SECRET_ACCESS_KEY", "sk"),
                    ("AWS_ENDPOINT_URL", nobody),
                    ("AWS_METADATA_ENDPOINT", nobody),
                    ("AWS_TIMEOUT", "100ms"),
                ],
                &s3[..],
            ),
            (
                "obs://lake/x",
                vec![
                    ("OBS_ACCESS_KEY_ID", "ak"),
                    ("OBS_SECRET_ACCESS_KEY", "sk"),
                    ("OBS_ENDPOINT", nobody),
                    ("AWS_TIMEOUT", "100ms"),
                ],
                &obs[..],
            ),
            (
                "gs://lake/x",
                vec![
                    ("GOOGLE_BASE_URL", nobody),
                    ("GOOGLE_BEARER_TOKEN", "token"),
                    ("GOOGLE_TIMEOUT", "100ms"),
                ],
                &google[..],
            ),
            (
                "az://lake/x",
                vec![
                    ("AZURE_STORAGE_ACCOUNT_NAME", "me"),
                    ("AZURE_STORAGE_ACCOUNT_KEY", "aHVudGVyMg=="),
                    ("AZURE_STORAGE_ENDPOINT", nobody),
                    ("AZURE_TIMEOUT", "100ms"),
                ],
                &azure[..],
            ),
        ] {
            for (name, value) in names
                .iter()
                .flat_map(|name| WORST.map(|value| (*name, value)))
            {
                let mut variables = usual.clone();
                variables.retain(|(usual, _)| usual != &name);
                if ["METADATA", "CONTAINER", "IDENTITY_TOKEN", "ROLE"]
                    .iter()
                    .any(|word| name.contains(word))
                {
                    // Keys would be used in their place.
                    variables.retain(|(usual, _)| !usual.contains("ACCESS_KEY"));
                }
                variables.push((name, value));
                let place = Place {
                    options: StoreOptions::of(variables),
                    allow_http: true,
                    ..dest.into()
                };
                tried.spawn(async move {
                    let Target::Bucket(url) = location::parse(&place.dest).unwrap() else {
                        panic!("{}", place.dest);
                    };
                    let said = match connect(&url, &place) {
                        Ok(client) => {
                            let there = client.objects.head(&Path::from("x")).await;
                            redact::told(&there.unwrap_err(), [].iter())
                        }
                        Err(error) => error.chain(),
                    };
                    (name, value, said)
                });
            }
        }
        let mut count = 0;
        while let Some(tried) = tried.join_next().await {
            // A panic fails the test here.
            let (name, value, said) = tried.unwrap();
            assert!(!said.contains("panicked"), "{name} {value:?}: {said}");
            count += 1;
        }
        let names = s3.len() + obs.len() + google.len() + azure.len();
        assert_eq!(count, WORST.len() * names);
    }

    #[tokio::test]
    async fn a_token_file_that_no_header_can_carry_is_refused_by_the_variable_that_names_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let variables = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/x"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", path),
        ];
        for token in ["hunter2\n", "hunter2 hunter2", "h\u{fc}nter2", ""] {
            std::fs::write(path, token).unwrap();
            let error = connected("s3://lake/x", &variables, false).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(
                said.contains("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
                "{said}"
            );
            assert!(!said.contains("nter2"), "{said}");
        }
        std::fs::write(path, "hunter2").unwrap();
        connected("s3://lake/x", &variables, false).unwrap();
    }

    #[test]
    fn half_of_the_credentials_are_refused_without_being_shown() {
        let half = [("AWS_SECRET_ACCESS_KEY", "hunter2")];
        let error = connected("s3://lake/x", &half, false).unwrap_err();
        assert!(error.chain().contains("AccessKeyId"), "{error}");
        assert!(!error.chain().contains("hunter2"), "{error}");
    }
}
