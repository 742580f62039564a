//! The settings of a run: every key, its type and its default, as the config file spells them.
//!
//! Texts become typed values here and are not looked at again. Where a setting comes from (flag,
//! environment, file) is the command line's business; secrets are not settings, only the places
//! they are read from are.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use url::Url;

use super::location::{Place, StoreOptions};
use crate::error::Result;
use crate::record::Language;
use crate::record::pii::PiiPolicy;
use crate::values::{Compression, Mode, Moment, Rate, Zone};

use super::file::File;

use crate::values::{
    CommandLine, CountPolicy, DuplicatePolicy, Format, IfRunning, LogFormat, PageSize,
    ParquetEncodings, PartitionBy, SearchKey, TableFormat, Verify, When,
};

/// All settings of `rollbook export`; [`Default`] is what an empty config file means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of its own, as files spell it"
)]
pub struct Config {
    /// The API's site: scheme, host and port. Tokens belong to a site.
    pub base_url: Url,
    /// Accept `http://` to other hosts than this machine.
    pub allow_http: bool,
    /// Certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Meeting list; `-` is standard input.
    pub meetings: Option<PathBuf>,
    /// Instead of a list: the meetings that began then or later.
    pub since: Option<Moment>,
    /// And not later than this; none is now.
    pub until: Option<Moment>,
    /// Whose civil days dates are.
    pub timezone: Zone,
    /// The meetings of all users of the enterprise, which administrators may see.
    pub query_all: bool,
    /// Meetings that ended more recently are left to the next run.
    #[serde(with = "humantime_serde")]
    pub settle: Duration,
    /// How far behind the window of the last run to look again for meetings that were listed late: the
    /// list finds a meeting by its start and shows it once it has ended.
    #[serde(with = "humantime_serde")]
    pub lookback: Duration,
    /// Meetings that were read less than this after their end are asked for again by later runs, and
    /// replaced where they have changed; none, or no time, is never.
    #[serde(with = "humantime_serde")]
    pub recheck: Option<Duration>,
    /// Time for which meetings of a window that have no record are asked for again; no time is never.
    #[serde(with = "humantime_serde")]
    pub recheck_empty: Duration,
    /// Read the meetings of the list again that the dataset holds, and replace them.
    pub again: bool,
    /// Write the meetings, as the history list tells them, into a table of their own. A dataset that
    /// has the table goes on with it in any case.
    pub with_meetings: bool,
    /// Destination: a folder, a bucket as [`Place`] has it, or `-` for standard output.
    pub out: Option<String>,
    /// What a bucket's store wants to know; in no file.
    #[serde(skip)]
    pub store: StoreOptions,
    /// Format of the parts.
    pub format: Format,
    /// What the parts are partitioned by; none is as the dataset's are, and in a new one not at all.
    pub partition_by: Option<PartitionBy>,
    /// How the parts are compressed; none is [`Compression::of`] the format.
    pub compression: Option<Compression>,
    /// Its former name, which was for NDJSON alone: `none` says nothing of the other formats.
    #[doc(hidden)]
    #[serde(skip_serializing)]
    pub compress: Option<Compression>,
    /// Encodings of the columns in Parquet parts.
    pub parquet_encodings: ParquetEncodings,
    /// What the parts are to other tools beside files. A dataset that is a table stays one in any
    /// case.
    pub table: TableFormat,
    /// Requests a time.
    pub rate: Rate,
    /// Requests that may be sent at once after a silence.
    pub burst: NonZeroU32,
    /// Requests in flight at once.
    pub concurrency: NonZeroU32,
    /// Records a request.
    pub page_size: PageSize,
    /// Attempts after the first, for one page.
    pub retries: u32,
    /// Before the second attempt; doubles with each.
    #[serde(with = "humantime_serde")]
    pub retry_delay: Duration,
    /// For one attempt, from connecting to the last byte.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// For the whole run; what is whole by then is kept.
    #[serde(with = "humantime_serde")]
    pub deadline: Option<Duration>,
    /// Requests for pages that are set aside for the run; what is whole by then is kept.
    pub max_requests: Option<NonZeroU32>,
    /// Language of the labels.
    pub language: Language,
    /// The API's `searchKey`: only records that match.
    pub search_key: Option<SearchKey>,
    /// What becomes of personal columns before anything is written.
    pub pii: PiiPolicy,
    /// File that holds the key for hashed columns.
    pub pii_key_file: Option<PathBuf>,
    /// Environment variable that holds it.
    pub pii_key_env: Option<String>,
    /// Stop at the first meeting that fails.
    pub fail_fast: bool,
    /// How a meeting of several pages is proven whole.
    pub verify: Verify,
    /// What to make of a `count` that is steadily wrong.
    pub count_policy: CountPolicy,
    /// What to make of equal records that may be one record seen twice.
    pub duplicates: DuplicatePolicy,
    /// Walks after the first, for a meeting that changes while it is read.
    pub restarts: u32,
    /// Before the first restart; doubles with each.
    #[serde(with = "humantime_serde")]
    pub restart_delay: Duration,
    /// Largest answer that is read, after decompression.
    pub max_body: ByteSize,
    /// Records held in memory until their meetings are whole.
    pub buffer_rows: u64,
    /// And the bytes of these records, about.
    pub buffer_size: ByteSize,
    /// The part that meetings share, or that of a partition, is closed at this size.
    pub part_size: ByteSize,
    /// The part that meetings share is closed at this many records.
    pub part_rows: u64,
    /// Whole meetings are committed at least this often.
    #[serde(with = "humantime_serde")]
    pub commit_every: Duration,
    /// What to do where another run is at work on the dataset.
    pub if_running: IfRunning,
    /// Where pages are kept until their meetings are committed, so that a run that is killed
    /// costs no second request; none is nowhere.
    pub state_dir: Option<PathBuf>,
    /// When to keep pages there; `auto` is under a limited rate or number of requests.
    pub spool: When,
    /// Where the report goes, as JSON.
    pub report: Option<PathBuf>,
    /// Where the figures of the run go, for Prometheus.
    pub metrics_file: Option<PathBuf>,
    /// Permissions of that file; without them, those of the file that it replaces, or 644.
    pub metrics_mode: Option<Mode>,
    /// Permissions of what the command writes.
    pub mode: Mode,
    /// Form of the log on standard error.
    pub log_format: LogFormat,
    /// When to show progress; `auto` is on a terminal.
    pub progress: When,
    /// File that holds an access token.
    pub access_token_file: Option<PathBuf>,
    /// Environment variable that holds an access token.
    pub access_token_env: Option<String>,
    /// App ID to log in with.
    pub app_id: Option<String>,
    /// File that holds the app key.
    pub app_key_file: Option<PathBuf>,
    /// Environment variable that holds the app key.
    pub app_key_env: Option<String>,
    /// Third-party user to log in as; none is the enterprise's default administrator.
    pub user_id: Option<String>,
    /// Enterprise, for a service provider's App ID only.
    pub corp_id: Option<String>,
    /// Account to log in with.
    pub account: Option<String>,
    /// File that holds the account's password.
    pub password_file: Option<PathBuf>,
    /// Environment variable that holds the account's password.
    pub password_env: Option<String>,
    /// Program and arguments of a command that prints an access token.
    pub token_command: Option<CommandLine>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: default_site(),
            allow_http: false,
            ca_file: None,
            meetings: None,
            since: None,
            until: None,
            timezone: Zone::UTC,
            query_all: false,
            settle: Duration::from_secs(30 * 60),
            lookback: Duration::from_secs(7 * 86_400),
            recheck: None,
            recheck_empty: Duration::from_secs(3 * 86_400),
            again: false,
            with_meetings: false,
            out: None,
            store: StoreOptions::default(),
            format: Format::default(),
            partition_by: None,
            compression: None,
            compress: None,
            parquet_encodings: ParquetEncodings::default(),
            table: TableFormat::default(),
            rate: Rate::per_minute(60),
            burst: NonZeroU32::MIN,
            concurrency: const { NonZeroU32::new(16).unwrap() },
            page_size: PageSize::MAX,
            retries: 8,
            retry_delay: Duration::from_millis(500),
            timeout: Duration::from_secs(30),
            deadline: None,
            max_requests: None,
            language: Language::default(),
            search_key: None,
            pii: PiiPolicy::default(),
            pii_key_file: None,
            pii_key_env: None,
            fail_fast: false,
            verify: Verify::default(),
            count_policy: CountPolicy::default(),
            duplicates: DuplicatePolicy::default(),
            restarts: 5,
            restart_delay: Duration::from_secs(1),
            max_body: ByteSize::mib(64),
            buffer_rows: 100_000,
            buffer_size: ByteSize::mib(32),
            part_size: ByteSize::mib(128),
            part_rows: 8_000_000,
            commit_every: Duration::from_secs(300),
            if_running: IfRunning::default(),
            state_dir: None,
            spool: When::default(),
            report: None,
            metrics_file: None,
            metrics_mode: None,
            mode: Mode::default(),
            log_format: LogFormat::default(),
            progress: When::default(),
            access_token_file: None,
            access_token_env: None,
            app_id: None,
            app_key_file: None,
            app_key_env: None,
            user_id: None,
            corp_id: None,
            account: None,
            password_file: None,
            password_env: None,
            token_command: None,
        }
    }
}

impl Config {
    /// Reads a config file's text.
    ///
    /// # Errors
    ///
    /// An unknown key, a value of the wrong kind: the message names `source`, line and column, and
    /// repeats no value.
    pub fn from_toml(text: &str, source: &str) -> Result<Self> {
        let file = File::new(text, source);
        file.settings(&file.table()?)
    }

    /// A place as these settings reach it.
    pub fn place(&self, dest: &str) -> Place {
        Place {
            dest: dest.to_owned(),
            options: self.store.clone(),
            allow_http: self.allow_http,
            state_dir: self.state_dir.clone(),
        }
    }

    /// How the parts are compressed.
    pub fn compression(&self) -> Compression {
        let former = self.compress.filter(|&former| former != Compression::None);
        self.compression
            .or(former)
            .unwrap_or(Compression::of(self.format))
    }

    /// How far behind the window of the last run to look again: as far as meetings are asked for
    /// again, and by the longest meeting, since the list goes by when they began.
    pub(crate) fn looks_back(&self) -> Duration {
        const LONGEST_MEETING: Duration = Duration::from_secs(86_400);
        let recheck = self.recheck.filter(|recheck| !recheck.is_zero());
        let recheck = recheck.map(|recheck| recheck.saturating_add(LONGEST_MEETING));
        self.lookback.max(recheck.unwrap_or_default())
    }

    /// Whether pages are kept for a run after this one: without a limit, asking again is cheaper
    /// than writing down, unless requests are set aside.
    pub fn keeps_pages(&self) -> bool {
        match self.spool {
            When::Auto => self.rate != Rate::Unlimited || self.max_requests.is_some(),
            When::Always => true,
            When::Never => false,
        }
    }
}

#[expect(clippy::expect_used, reason = "a constant, parsed by a test")]
fn default_site() -> Url {
    Url::parse("https://api.meeting.huaweicloud.com").expect("a well-formed URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_base_url(url: &str) -> Config {
        Config {
            base_url: url.parse().unwrap(),
            ..Config::default()
        }
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(Config::from_toml("", "test").unwrap(), Config::default());
        Config::default().check().unwrap();
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = Config::from_toml("rate = \"5/s\"\nratte = 1\n", "my.toml").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("my.toml") && text.contains("line 2") && text.contains("ratte"),
            "{text}"
        );
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for url in [
            "http://127.0.0.1:8080",
            "http://localhost",
            "http://[::1]:1",
            "https://example.com",
        ] {
            with_base_url(url).check().unwrap();
        }
        for url in [
            "http://example.com",
            "http://127.0.0.1.example.com",
            "ftp://localhost",
        ] {
            assert!(with_base_url(url).check().is_err(), "{url}");
        }
        let trusted = Config {
            allow_http: true,
            ..with_base_url("http://example.com")
        };
        trusted.check().unwrap();
    }

    #[test]
    fn a_base_url_never_carries_credentials_or_a_query() {
        for url in [
            "https://me:secret@example.com",
            "http://me:secret@example.com",
            "https://example.com/?a=b",
        ] {
            let error = with_base_url(url).check().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let config = Config {
            search_key: Some("+861390000".to_owned().into()),
            token_command: Some(vec!["vault".to_owned(), "hunter2".to_owned()].into()),
            ..Config::default()
        };
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("861390000"),
            "{shown}"
        );
    }

    #[test]
    fn the_partition_of_a_tenant_is_its_destination() {
        for (out, is_fine) in [
            ("lake/tenant=acme", true),
            ("s3://lake/tenant=acme/", true),
            ("lake", false),
            ("lake/tenant=", false),
            ("tenant=acme/lake", false),
        ] {
            let config = Config {
                out: Some(out.to_owned()),
                partition_by: Some(PartitionBy::Tenant),
                ..Config::default()
            };
            assert_eq!(config.check().is_ok(), is_fine, "{out}");
        }
    }

    #[test]
    fn a_page_has_1_to_500_records() {
        assert_eq!("500".parse::<PageSize>().unwrap(), PageSize::MAX);
        for text in ["0", "501", "-1", "many"] {
            assert!(text.parse::<PageSize>().is_err(), "{text}");
        }
    }
}
