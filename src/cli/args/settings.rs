//! One flag and one variable for each key of the config file.
//!
//! Every flag is optional, so that what was not said leaves the config file's value, or the
//! default, as it is. `--some-key` is `ROLLBOOK_SOME_KEY` and `some_key`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use clap::builder::{BoolishValueParser, PossibleValuesParser, TypedValueParser};
use rollbook::{
    Compression, Config, CountPolicy, DuplicatePolicy, Format, IfRunning, Language, LogFormat,
    Mode, PageSize, ParquetEncodings, PartitionBy, PiiPolicy, Rate, SearchKey, TableFormat, Verify,
    When,
};

use super::api::{API, Site, set, set_some};
use super::window::Window;
use crate::cli::metrics::Metrics;

/// The settings of `export` as flags; `None` is what was not said.
#[expect(
    clippy::doc_markdown,
    reason = "shown as help, where nothing reads Markdown"
)]
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Settings {
    /// Meeting list: UUIDs, NDJSON or CSV; `-` is standard input
    #[arg(short, long, value_name = "FILE", env = "ROLLBOOK_MEETINGS")]
    meetings: Option<PathBuf>,
    /// Folder, bucket (s3://, obs://, gs://, az://); `-` is standard output
    #[arg(short, long, value_name = "DEST", env = "ROLLBOOK_OUT")]
    out: Option<String>,
    /// Format of the parts: parquet, ndjson or arrow [default: parquet]
    #[arg(short, long, value_name = "FORMAT", env = "ROLLBOOK_FORMAT")]
    #[arg(value_parser = choice::<Format>(), hide_possible_values = true)]
    format: Option<Format>,
    /// Folders by join-date, meeting-date, tenant or none [default: none]
    ///
    /// As Hive names them, by days of --timezone. A dataset keeps what it began with; without this
    /// it goes on so.
    #[arg(long, value_name = "WHAT", env = "ROLLBOOK_PARTITION_BY")]
    #[arg(value_parser = choice::<PartitionBy>(), hide_possible_values = true)]
    partition_by: Option<PartitionBy>,
    /// zstd[:LEVEL], lz4, snappy, gzip or none [default: zstd for parquet]
    #[arg(long, value_name = "HOW", env = "ROLLBOOK_COMPRESSION")]
    compression: Option<Compression>,
    /// modern, or classic for Spark before 3.3 and Hive [default: modern]
    ///
    /// Classic Parquet parts have dictionaries and plain values alone, without the DELTA encodings
    /// that old readers refuse. They are larger.
    #[arg(long, value_name = "WHICH", env = "ROLLBOOK_PARQUET_ENCODINGS")]
    #[arg(value_parser = choice::<ParquetEncodings>(), hide_possible_values = true)]
    #[arg(hide_short_help = true)]
    parquet_encodings: Option<ParquetEncodings>,
    /// delta: the parts are a Delta Lake table, too [default: none]
    #[arg(long, value_name = "KIND", env = "ROLLBOOK_TABLE")]
    #[arg(value_parser = choice::<TableFormat>(), hide_possible_values = true)]
    table: Option<TableFormat>,
    /// Its former name, of which none is the format's default
    #[arg(long, value_name = "HOW", env = "ROLLBOOK_COMPRESS", hide = true)]
    compress: Option<Compression>,
    /// Where the report goes, as JSON; `-` is standard output
    #[arg(long, value_name = "FILE", env = "ROLLBOOK_REPORT")]
    report: Option<PathBuf>,
    /// Where the figures of the run go, for Prometheus
    #[arg(long, value_name = "FILE", env = "ROLLBOOK_METRICS_FILE")]
    #[arg(hide_short_help = true)]
    metrics_file: Option<PathBuf>,
    /// Who may read that file, in octal [default: as it is, 644 for a new one]
    #[arg(long, value_name = "MODE", env = "ROLLBOOK_METRICS_MODE")]
    #[arg(hide_short_help = true)]
    metrics_mode: Option<Mode>,
    /// Who may read what is written, in octal [default: 600]
    #[arg(long, value_name = "MODE", env = "ROLLBOOK_MODE")]
    mode: Option<Mode>,
    /// When to show progress: auto, always or never [default: auto]
    #[arg(long, value_name = "WHEN", env = "ROLLBOOK_PROGRESS")]
    #[arg(value_parser = choice::<When>(), hide_possible_values = true)]
    progress: Option<When>,

    #[command(flatten)]
    window: Window,

    /// Requests a time: N/s, N/min, N/h or unlimited [default: 60/min]
    #[arg(long, env = "ROLLBOOK_RATE", help_heading = QUOTA)]
    rate: Option<Rate>,
    /// Requests that may be sent at once after a silence [default: 1]
    #[arg(long, value_name = "N", env = "ROLLBOOK_BURST", help_heading = QUOTA)]
    #[arg(hide_short_help = true)]
    burst: Option<NonZeroU32>,
    /// Requests in flight at once [default: 16]
    #[arg(long, value_name = "N", env = "ROLLBOOK_CONCURRENCY", help_heading = QUOTA)]
    concurrency: Option<NonZeroU32>,
    /// Records a request, 1 to 500 [default: 500]
    #[arg(long, value_name = "N", env = "ROLLBOOK_PAGE_SIZE", help_heading = QUOTA)]
    page_size: Option<PageSize>,
    /// Attempts after the first, for one page [default: 8]
    #[arg(long, value_name = "N", env = "ROLLBOOK_RETRIES", help_heading = QUOTA)]
    #[arg(hide_short_help = true)]
    retries: Option<u32>,
    /// Before the second attempt; doubles with each
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_RETRY_DELAY", help_heading = QUOTA)]
    #[arg(value_parser = humantime::parse_duration)]
    #[arg(hide_short_help = true)]
    retry_delay: Option<Duration>,
    /// For one attempt, to the last byte [default: 30s]
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_TIMEOUT", help_heading = QUOTA)]
    #[arg(value_parser = humantime::parse_duration)]
    #[arg(hide_short_help = true)]
    timeout: Option<Duration>,
    /// For the whole run; what is whole by then is kept [default: none]
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_DEADLINE", help_heading = QUOTA)]
    #[arg(value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
    /// Set aside for the whole run, as its time is by --deadline [default: none]
    #[arg(long, value_name = "N", env = "ROLLBOOK_MAX_REQUESTS", help_heading = QUOTA)]
    max_requests: Option<NonZeroU32>,

    /// Proof of a meeting of several pages: seams or twice [default: seams]
    #[arg(long, value_name = "HOW", env = "ROLLBOOK_VERIFY", help_heading = PROOF)]
    #[arg(value_parser = choice::<Verify>(), hide_possible_values = true)]
    verify: Option<Verify>,
    /// Where a count is steadily wrong: fail, or trust the end [default: fail]
    #[arg(long, value_name = "POLICY", env = "ROLLBOOK_COUNT_POLICY", help_heading = PROOF)]
    #[arg(value_parser = choice::<CountPolicy>(), hide_possible_values = true)]
    #[arg(hide_short_help = true)]
    count_policy: Option<CountPolicy>,
    /// What to make of equal records in different answers: fail or keep [default: fail]
    ///
    /// Equal records that no single answer shows together may be one record seen twice, while
    /// another is missing. With fail, such a meeting is incomplete. With keep, it is accepted when a
    /// second walk shows the same.
    #[arg(long, value_name = "POLICY", env = "ROLLBOOK_DUPLICATES", help_heading = PROOF)]
    #[arg(value_parser = choice::<DuplicatePolicy>(), hide_possible_values = true)]
    #[arg(hide_short_help = true)]
    duplicates: Option<DuplicatePolicy>,
    /// Ask again for meetings read so soon after their end [default: never]
    ///
    /// A later run asks again for the first page of meetings that were read less than this after their
    /// end. If that page or the count has changed, the meeting is read again and replaced. Costs a
    /// request for each such meeting and run, and all pages of those that have changed. With a list
    /// of meetings, their first fetch stands for their end.
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_RECHECK", help_heading = PROOF)]
    #[arg(value_parser = humantime::parse_duration)]
    recheck: Option<Duration>,
    /// The same for meetings of a window that have no record; 0s is never [default: 3d]
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_RECHECK_EMPTY", help_heading = PROOF)]
    #[arg(value_parser = humantime::parse_duration)]
    #[arg(hide_short_help = true)]
    recheck_empty: Option<Duration>,
    /// Read the listed meetings again that are in the dataset, and replace them
    #[arg(long, value_name = "BOOL", env = "ROLLBOOK_AGAIN", help_heading = PROOF)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    #[arg(hide_short_help = true)]
    again: Option<bool>,
    /// Walks after the first, for a meeting that changes [default: 5]
    #[arg(long, value_name = "N", env = "ROLLBOOK_RESTARTS", help_heading = PROOF)]
    #[arg(hide_short_help = true)]
    restarts: Option<u32>,
    /// Before the first restart; doubles with each [default: 1s]
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_RESTART_DELAY", help_heading = PROOF)]
    #[arg(value_parser = humantime::parse_duration)]
    #[arg(hide_short_help = true)]
    restart_delay: Option<Duration>,
    /// Stop at the first meeting that fails
    #[arg(long, value_name = "BOOL", env = "ROLLBOOK_FAIL_FAST", help_heading = PROOF)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), hide_possible_values = true)]
    fail_fast: Option<bool>,
    /// Go on with the others (the default)
    #[arg(long, help_heading = PROOF, overrides_with = "fail_fast")]
    #[arg(hide_short_help = true)]
    keep_going: bool,

    #[command(flatten)]
    site: Site,
    /// Language of the labels: en-US or zh-CN [default: en-US]
    #[arg(long, value_name = "TAG", env = "ROLLBOOK_LANGUAGE", help_heading = API)]
    language: Option<Language>,
    /// Only records that match, as the API's searchKey
    #[arg(long, value_name = "TEXT", env = "ROLLBOOK_SEARCH_KEY", help_heading = API)]
    #[arg(hide_short_help = true)]
    search_key: Option<String>,
    /// Personal columns: COLUMN=keep|mask|hash|drop,... [default: all kept]
    ///
    /// Of records: display_name, call_number, device_type, media_type, dept_name, extra. Of the
    /// meetings table: subject, scheduler, conference_id, dept_name; a scheduler who is not named
    /// here is treated as display_name is. A text that shows what another column of its row hides
    /// is treated as strictly as that: a number shown as a name, a scheduler's name in a subject.
    #[arg(long, value_name = "COLUMN=HOW", env = "ROLLBOOK_PII", help_heading = PERSONAL)]
    pii: Option<PiiPolicy>,
    /// File that holds the key for hashed columns
    #[arg(long, value_name = "FILE", env = "ROLLBOOK_PII_KEY_FILE", help_heading = PERSONAL)]
    #[arg(hide_short_help = true)]
    pii_key_file: Option<PathBuf>,
    /// Variable that holds it [default: ROLLBOOK_PII_KEY]
    #[arg(long, value_name = "NAME", env = "ROLLBOOK_PII_KEY_ENV", help_heading = PERSONAL)]
    #[arg(hide_short_help = true)]
    pii_key_env: Option<String>,

    /// While another run is at work there: proceed, skip or wait [default: proceed]
    #[arg(long, value_name = "WHAT", env = "ROLLBOOK_IF_RUNNING", help_heading = TUNING)]
    #[arg(value_parser = choice::<IfRunning>(), hide_possible_values = true)]
    #[arg(hide_short_help = true)]
    if_running: Option<IfRunning>,
    /// Where pages and parts are kept until committed [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "ROLLBOOK_STATE_DIR", help_heading = TUNING)]
    #[arg(hide_short_help = true)]
    state_dir: Option<PathBuf>,
    /// When to keep pages there: auto (under a quota), always, never [default: auto]
    #[arg(long, value_name = "WHEN", env = "ROLLBOOK_SPOOL", help_heading = TUNING)]
    #[arg(value_parser = choice::<When>(), hide_possible_values = true)]
    #[arg(hide_short_help = true)]
    spool: Option<When>,
    /// Whole meetings are committed at least this often [default: 5m]
    #[arg(long, value_name = "TIME", env = "ROLLBOOK_COMMIT_EVERY", help_heading = TUNING)]
    #[arg(value_parser = humantime::parse_duration)]
    #[arg(hide_short_help = true)]
    commit_every: Option<Duration>,
    /// A shared part is closed at this size [default: 128MiB]
    #[arg(long, value_name = "SIZE", env = "ROLLBOOK_PART_SIZE", help_heading = TUNING)]
    #[arg(hide_short_help = true)]
    part_size: Option<ByteSize>,
    /// A shared part is closed at this many records [default: 8000000]
    #[arg(long, value_name = "N", env = "ROLLBOOK_PART_ROWS", help_heading = TUNING)]
    #[arg(hide_short_help = true)]
    part_rows: Option<u64>,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// How much may be in memory.
#[derive(Clone, Debug, Default, Args)]
struct MemoryArgs {
    /// Records held in memory until their meetings are whole [default: 100000]
    #[arg(long, value_name = "N", env = "ROLLBOOK_BUFFER_ROWS", help_heading = TUNING)]
    #[arg(hide_short_help = true)]
    buffer_rows: Option<u64>,
    /// Bytes of these records, where they are long [default: 32MiB]
    #[arg(long, value_name = "SIZE", env = "ROLLBOOK_BUFFER_SIZE", help_heading = TUNING)]
    #[arg(hide_short_help = true)]
    buffer_size: Option<ByteSize>,
    /// Largest answer that is read, after decompression [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "ROLLBOOK_MAX_BODY", help_heading = TUNING)]
    #[arg(hide_short_help = true)]
    max_body: Option<ByteSize>,
}

const QUOTA: &str = "Quota and time";
const PROOF: &str = "Completeness";
const PERSONAL: &str = "Personal data";
const TUNING: &str = "Tuning";

impl Settings {
    /// Returns the destination and the permissions of the run's figures, as far as flags and variables
    /// set them.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::begin(self.metrics_file.clone(), self.metrics_mode)
    }

    /// Puts what was said over what the config file says.
    pub(crate) fn overlay(self, config: &mut Config, log_format: Option<LogFormat>) {
        let Self {
            meetings,
            out,
            format,
            partition_by,
            compression,
            compress,
            parquet_encodings,
            table,
            report,
            metrics_file,
            metrics_mode,
            mode,
            progress,
            window,
            rate,
            burst,
            concurrency,
            page_size,
            retries,
            retry_delay,
            timeout,
            deadline,
            max_requests,
            verify,
            count_policy,
            duplicates,
            recheck,
            recheck_empty,
            again,
            restarts,
            restart_delay,
            fail_fast,
            keep_going,
            site,
            language,
            search_key,
            pii,
            pii_key_file,
            pii_key_env,
            if_running,
            state_dir,
            spool,
            commit_every,
            part_size,
            part_rows,
            memory,
        } = self;
        site.overlay(config);
        set_some(&mut config.meetings, meetings);
        set_some(&mut config.out, out);
        set(&mut config.format, format);
        set_some(&mut config.partition_by, partition_by);
        if let Some(former) = compress {
            config.compress = None;
            config.compression = Some(former).filter(|&former| former != Compression::None);
        }
        set_some(&mut config.compression, compression);
        set(&mut config.parquet_encodings, parquet_encodings);
        set(&mut config.table, table);
        set_some(&mut config.report, report);
        set_some(&mut config.metrics_file, metrics_file);
        set_some(&mut config.metrics_mode, metrics_mode);
        set(&mut config.mode, mode);
        set(&mut config.progress, progress);
        set(&mut config.log_format, log_format);
        set(&mut config.rate, rate);
        set(&mut config.burst, burst);
        set(&mut config.concurrency, concurrency);
        set(&mut config.page_size, page_size);
        set(&mut config.retries, retries);
        set(&mut config.retry_delay, retry_delay);
        set(&mut config.timeout, timeout);
        set_some(&mut config.deadline, deadline);
        set_some(&mut config.max_requests, max_requests);
        set(&mut config.verify, verify);
        set(&mut config.count_policy, count_policy);
        set(&mut config.duplicates, duplicates);
        set_some(&mut config.recheck, recheck);
        set(&mut config.recheck_empty, recheck_empty);
        set(&mut config.again, again);
        set(&mut config.restarts, restarts);
        set(&mut config.restart_delay, restart_delay);
        set(&mut config.fail_fast, fail_fast);
        set(&mut config.fail_fast, keep_going.then_some(false));
        window.overlay(config);
        set(&mut config.language, language);
        set_some(&mut config.search_key, search_key.map(SearchKey::from));
        set(&mut config.pii, pii);
        set_some(&mut config.pii_key_file, pii_key_file);
        set_some(&mut config.pii_key_env, pii_key_env);
        set(&mut config.if_running, if_running);
        set_some(&mut config.state_dir, state_dir);
        set(&mut config.spool, spool);
        set(&mut config.commit_every, commit_every);
        set(&mut config.part_size, part_size);
        set(&mut config.part_rows, part_rows);
        memory.overlay(config);
    }
}

impl MemoryArgs {
    fn overlay(self, config: &mut Config) {
        set(&mut config.buffer_rows, self.buffer_rows);
        set(&mut config.buffer_size, self.buffer_size);
        set(&mut config.max_body, self.max_body);
    }
}

/// Choices that the library spells.
pub(crate) trait Choice: FromStr<Err = String> + Copy + Send + Sync + 'static {
    /// Every choice.
    const ALL: &'static [Self];

    /// The choice as flags and files spell it.
    fn spelt(self) -> &'static str;
}

macro_rules! choices {
    ($($name:ident),+) => {
        $(impl Choice for $name {
            const ALL: &'static [Self] = $name::ALL;

            fn spelt(self) -> &'static str {
                self.as_str()
            }
        })+
    };
}

choices!(
    IfRunning,
    Format,
    ParquetEncodings,
    PartitionBy,
    TableFormat,
    Verify,
    CountPolicy,
    DuplicatePolicy,
    LogFormat,
    When
);

/// A parser that knows every choice, so that completions and messages do too.
pub(crate) fn choice<T: Choice>() -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(T::ALL.iter().map(|choice| choice.spelt()))
        .try_map(|text| text.parse::<T>())
}
