//! What to do about a refused login or token, in plain words.

use std::time::Duration;

/// What kind of credentials a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A token that somebody gave.
    Token,
    /// Tokens that somebody gives when asked.
    Source,
    /// An App ID of one enterprise.
    App,
    /// An App ID of a service provider, which names the enterprise.
    ProviderApp,
    /// An account and its password.
    Account,
}

/// Who is refused, and what is known of it on this side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking {
    pub(crate) kind: Kind,
    /// Whether the login itself is refused, and not a token.
    pub(crate) is_login: bool,
    /// How far our clock is behind the server's; negative where it is ahead.
    pub(crate) seconds_behind: Option<i64>,
}

/// A clock that is off by less than this is not worth a word.
const TOLERATED: u64 = 60;

impl Asking {
    /// What is wrong and what to do about it, by the status and the code of the refusal.
    pub(crate) fn hint(self, status: Option<u16>, code: Option<&str>) -> String {
        let digits = code
            .and_then(|code| code.rsplit('.').next())
            .unwrap_or_default();
        match digits {
            "206010000" | "206010025" => self.wrong_secret().to_owned(),
            "206010057" => format!(
                "the signature had expired before it came{}: check the clock of this machine, \
                 set it and run again",
                self.clock()
            ),
            "206010064" | "206010074" | "206020001" => "the account belongs to another site: set \
                base_url (ROLLBOOK_BASE_URL) to the site where its enterprise is registered"
                .to_owned(),
            "206010007" | "206010058" => format!(
                "the user is not activated, or not bound to the App ID: have the administrator \
                 do that, or {}",
                self.other_user()
            ),
            "206010030" | "206010031" => format!(
                "the user is unknown and could not be registered: {}",
                self.other_user()
            ),
            "206030000" | "201040000" => {
                format!("the user does not exist: {}", self.other_user())
            }
            "206030015" => "the user is locked after too many wrong logins: wait a minute, then \
                check the password or the key before the next try"
                .to_owned(),
            "118000002" => LOCKED.to_owned(),
            "206020002" => format!(
                "the token was pushed out by newer logins of the same user: {}",
                self.other_token()
            ),
            "0101" => {
                "the site does not know this API: check base_url (ROLLBOOK_BASE_URL)".to_owned()
            }
            _ => match status {
                Some(412) => "the account is disabled: have the administrator enable it".to_owned(),
                Some(423) => LOCKED.to_owned(),
                _ if self.is_login => self.wrong_secret().to_owned(),
                _ => self.refused_token(),
            },
        }
    }

    /// The server tells no closer what of these it is, lest somebody guess.
    const fn wrong_secret(self) -> &'static str {
        match self.kind {
            Kind::App => {
                "the App ID or its key is wrong, or the App ID is a service provider's and needs \
                 an enterprise: check ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY, or set corp_id \
                 (ROLLBOOK_CORP_ID)"
            }
            Kind::ProviderApp => {
                "the App ID or its key is wrong, or the App ID is of a single enterprise, which \
                 a login must not name: check ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY, or unset \
                 corp_id (ROLLBOOK_CORP_ID)"
            }
            Kind::Account => {
                "the account or its password is wrong: check ROLLBOOK_ACCOUNT and \
                 ROLLBOOK_PASSWORD before the next try, since wrong ones lock the account"
            }
            Kind::Token | Kind::Source => {
                "the token is of a login that is wrong by now: get a new token"
            }
        }
    }

    const fn other_user(self) -> &'static str {
        match self.kind {
            Kind::App | Kind::ProviderApp => "check user_id (ROLLBOOK_USER_ID)",
            Kind::Account => "check account (ROLLBOOK_ACCOUNT)",
            Kind::Token | Kind::Source => "get a new token of another user",
        }
    }

    const fn other_token(self) -> &'static str {
        match self.kind {
            Kind::Token => "get a new token (ROLLBOOK_ACCESS_TOKEN), with client type 72",
            Kind::Source => "have token_command log in with client type 72",
            Kind::App | Kind::ProviderApp | Kind::Account => {
                "use fewer logins at the same time, or another user for this job"
            }
        }
    }

    fn refused_token(self) -> String {
        match self.kind {
            Kind::Token => "the access token has expired or is none of this site: get a new token \
                (ROLLBOOK_ACCESS_TOKEN), or set ROLLBOOK_APP_ID and ROLLBOOK_APP_KEY, with which \
                rollbook renews it"
                .to_owned(),
            Kind::Source => "token_command gives tokens that have expired or are none of this \
                site: run it by hand and check what it gives"
                .to_owned(),
            kind => format!(
                "a token from a new login is refused: check that base_url (ROLLBOOK_BASE_URL) is \
                 the user's site, and {}",
                if kind == Kind::Account {
                    "ROLLBOOK_ACCOUNT with ROLLBOOK_PASSWORD"
                } else {
                    "ROLLBOOK_APP_ID with ROLLBOOK_APP_KEY"
                }
            ),
        }
    }

    fn clock(self) -> String {
        let Some(behind) = self.seconds_behind else {
            return String::new();
        };
        let seconds = behind.unsigned_abs();
        if seconds < TOLERATED {
            return String::new();
        }
        let off = humantime::format_duration(Duration::from_secs(seconds - seconds % TOLERATED));
        let side = if behind > 0 { "behind" } else { "ahead of" };
        format!(" (this machine is {off} {side} the server)")
    }
}

const LOCKED: &str = "the account is locked: wait, and check its password or key before the next \
    try";

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_table_of_what_is_said_about_which_refusal() {
        let mut table = String::new();
        for kind in [
            Kind::Token,
            Kind::Source,
            Kind::App,
            Kind::ProviderApp,
            Kind::Account,
        ] {
            let asking = Asking {
                kind,
                is_login: false,
                seconds_behind: Some(3_605),
            };
            for code in [
                "USG.206010000",
                "USG.206010025",
                "USG.206010057",
                "USG.206010064",
                "USG.206010074",
                "USG.206020001",
                "USG.206010007",
                "USG.206010030",
                "USG.206030000",
                "USG.206030015",
                "MMC.118000002",
                "USG.206020002",
                "USG.206020000",
                "APIG.0101",
            ] {
                let hint = asking.hint(Some(401), Some(code));
                writeln!(table, "{kind:?} {code}: {hint}").unwrap();
            }
            for status in [401, 412, 423] {
                let hint = asking.hint(Some(status), None);
                writeln!(table, "{kind:?} {status}: {hint}").unwrap();
            }
            let login = Asking {
                is_login: true,
                ..asking
            };
            writeln!(table, "{kind:?} login 401: {}", login.hint(Some(401), None)).unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_clock_is_told_where_it_is_off() {
        let clock = |seconds_behind| {
            let kind = Kind::App;
            Asking {
                kind,
                is_login: true,
                seconds_behind,
            }
            .clock()
        };
        assert_eq!(clock(None), "");
        assert_eq!(clock(Some(59)), "");
        assert_eq!(
            clock(Some(3_601)),
            " (this machine is 1h behind the server)"
        );
        assert_eq!(
            clock(Some(-120)),
            " (this machine is 2m ahead of the server)"
        );
    }
}
