//! Logins and tokens: who may ask.
//!
//! An App ID login proves that the caller knows the App key by a signature over who, until when
//! and a nonce; an account is locked by wrong passwords. Each user has a bounded number of tokens:
//! one more invalidates the oldest.

mod login;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use self::login::Login;
use super::effect::Refusal;
use super::options::Credentials;
use super::record::mix;
use super::reply::Reply;
use super::unpoisoned_mutex::Guarded;

/// The client type of programs; only it may have more than one token.
const API_CLIENT: i64 = 72;

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Empty for the enterprise's owner.
    pub(super) user: String,
    admin_type: i64,
}

impl Caller {
    pub(super) fn is_administrator(&self) -> bool {
        self.admin_type < 2
    }

    fn name(&self) -> &str {
        if self.user.is_empty() {
            "owner"
        } else {
            &self.user
        }
    }
}

#[derive(Debug)]
struct Token {
    caller: Caller,
    client_type: i64,
    expires: Option<Instant>,
    ended: Option<Refusal>,
}

#[derive(Debug, Default)]
struct Book {
    tokens: HashMap<String, Token>,
    /// Tokens from logins, oldest first.
    live: HashMap<(String, i64), VecDeque<String>>,
    nonces: HashSet<String>,
    issued: u64,
    logins: u64,
    most_live: usize,
    wrong_passwords: u32,
}

impl Book {
    fn live(&self) -> usize {
        let now = Instant::now();
        let issued = self.live.values().flatten();
        issued
            .filter_map(|text| self.tokens.get(text))
            .filter(|token| token.ended.is_none() && token.expires.is_none_or(|end| end > now))
            .count()
    }
}

/// The desk that gives out tokens and checks them.
#[derive(Debug)]
pub(super) struct Auth {
    credentials: Credentials,
    salt: u64,
    book: Guarded<Book>,
    /// How far the clock was set, in seconds.
    set_off: AtomicI64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccountLogin {
    account: String,
    client_type: i64,
}

#[derive(Deserialize)]
struct Validation {
    token: String,
}

fn failed() -> Reply {
    Reply::error(401, "USG.206010025", "APP_ID_AUTH_FAILED")
}

fn garbled() -> Reply {
    Reply::error(400, "USG.200000003", "INVALID_PARAMETER")
}

impl Auth {
    pub(super) fn new(credentials: &Credentials, seed: u64) -> Self {
        let auth = Self {
            credentials: credentials.clone(),
            // A token must not outlive its simulator, so the clock has a part in it.
            salt: mix(
                seed,
                since_epoch().as_secs() ^ u64::from(since_epoch().subsec_nanos()),
            ),
            book: Guarded::default(),
            set_off: AtomicI64::new(0),
        };
        for token in &credentials.tokens {
            auth.accept(token);
        }
        auth
    }

    /// Accepts a token from now on, as the owner's and without end.
    pub(super) fn accept(&self, token: &str) {
        let entry = Token {
            caller: self.caller(String::new()),
            client_type: API_CLIENT,
            expires: None,
            ended: None,
        };
        self.book.lock().tokens.insert(token.to_owned(), entry);
    }

    /// Ends every token there is.
    pub(super) fn expire_all(&self, refusal: Refusal) {
        for token in self.book.lock().tokens.values_mut() {
            token.ended.get_or_insert(refusal);
        }
    }

    fn caller(&self, user: String) -> Caller {
        let usual = if user.is_empty() { 0 } else { 2 };
        Caller {
            admin_type: self.credentials.admin_type.unwrap_or(usual),
            user,
        }
    }

    /// How many logins succeeded.
    pub(super) fn logins(&self) -> u64 {
        self.book.lock().logins
    }

    /// How many tokens from logins are good.
    pub(super) fn live(&self) -> usize {
        self.book.lock().live()
    }

    /// The most of them at one time.
    pub(super) fn most_live(&self) -> usize {
        self.book.lock().most_live
    }

    /// Who asks, if their token is good.
    pub(super) fn check(&self, token: Option<&str>) -> Result<Caller, Reply> {
        let Some(text) = token else {
            return Err(Reply::error(401, "MMC.111070111", "REQUEST_TOKEN_IS_NULL"));
        };
        let book = self.book.lock();
        let token = book
            .tokens
            .get(text)
            .ok_or_else(|| Reply::refused(Refusal::Invalid))?;
        if let Some(refusal) = token.ended {
            return Err(Reply::refused(refusal));
        }
        if token.expires.is_some_and(|end| end <= Instant::now()) {
            return Err(Reply::refused(Refusal::TimedOut));
        }
        Ok(token.caller.clone())
    }

    /// An App ID login.
    pub(super) fn login(&self, authorization: Option<&str>, body: &[u8]) -> Result<Value, Reply> {
        let login: Login = serde_json::from_slice(body).map_err(|_| garbled())?;
        if !(32..=64).contains(&login.nonce.chars().count()) {
            return Err(garbled());
        }
        if !login.is_signed(&self.credentials, authorization.unwrap_or_default()) {
            return Err(failed());
        }
        let user = login.user_id.unwrap_or_default();
        if let Some(known) = &self.credentials.user_id
            && *known != user
        {
            return Err(Reply::error(401, "USG.206030000", "USER_NOT_EXIST"));
        }
        if login.expire_time != 0 && self.now_seconds() > login.expire_time {
            return Err(Reply::error(401, "USG.206010057", "APP_ID_AUTH_EXPIRED"));
        }
        // A nonce is used up by a login that would have passed, not by a forged one.
        if !self.book.lock().nonces.insert(login.nonce) {
            return Err(failed());
        }
        self.book.lock().logins += 1;
        Ok(self.issue(&self.caller(user), login.client_type))
    }

    /// A login with an account and its password.
    pub(super) fn account_login(
        &self,
        authorization: Option<&str>,
        body: &[u8],
    ) -> Result<Value, Reply> {
        let login: AccountLogin = serde_json::from_slice(body).map_err(|_| garbled())?;
        let Credentials {
            account, password, ..
        } = &self.credentials;
        let basic = format!("Basic {}", STANDARD.encode(format!("{account}:{password}")));
        let mut book = self.book.lock();
        if book.wrong_passwords >= self.credentials.lock_after {
            return Err(Reply::error(423, "USG.206030015", "USER_LOCKED"));
        }
        if login.account != *account || authorization != Some(&*basic) {
            book.wrong_passwords += 1;
            return Err(Reply::error(401, "USG.206010000", "USER_OR_PASSWORD_WRONG"));
        }
        book.wrong_passwords = 0;
        book.logins += 1;
        drop(book);
        Ok(self.issue(&self.caller(login.account), login.client_type))
    }

    /// A new token in place of a good one, which goes on being good until its own end.
    pub(super) fn refresh(&self, token: Option<&str>) -> Result<Value, Reply> {
        let caller = self.check(token)?;
        Ok(self.issue(&caller, API_CLIENT))
    }

    /// Ends a good token.
    pub(super) fn logout(&self, token: Option<&str>) -> Result<(), Reply> {
        self.check(token)?;
        let mut book = self.book.lock();
        if let Some(entry) = token.and_then(|text| book.tokens.get_mut(text)) {
            entry.ended = Some(Refusal::Invalid);
            let owner = (entry.caller.user.clone(), entry.client_type);
            if let Some(live) = book.live.get_mut(&owner) {
                live.retain(|is| Some(is.as_str()) != token);
            }
        }
        Ok(())
    }

    /// What a login would have answered for this token.
    pub(super) fn validate(&self, body: &[u8]) -> Result<Value, Reply> {
        let validation: Validation = serde_json::from_slice(body).map_err(|_| garbled())?;
        let caller = self
            .check(Some(&validation.token))
            .map_err(|_| Reply::refused(Refusal::TimedOut))?;
        let end = self
            .book
            .lock()
            .tokens
            .get(&validation.token)
            .and_then(|token| token.expires);
        let left = end.map_or(self.credentials.token_life, |end| {
            end.saturating_duration_since(Instant::now())
        });
        Ok(self.describe(&validation.token, &caller, API_CLIENT, left))
    }

    fn issue(&self, caller: &Caller, client_type: i64) -> Value {
        let life = self.credentials.token_life;
        let mut book = self.book.lock();
        book.issued += 1;
        let [a, b] = [1, 2].map(|word| mix(self.salt, book.issued * 4 + word));
        let text = format!("{a:016x}{b:016x}");
        let token = Token {
            caller: caller.clone(),
            client_type,
            expires: Instant::now().checked_add(life),
            ended: None,
        };
        book.tokens.insert(text.clone(), token);
        let allowed = if client_type == API_CLIENT {
            self.credentials.tokens_per_user.max(1)
        } else {
            1
        };
        let queue = book
            .live
            .entry((caller.user.clone(), client_type))
            .or_default();
        queue.push_back(text.clone());
        let oldest = if queue.len() > allowed {
            queue.pop_front()
        } else {
            None
        };
        if let Some(token) = oldest.and_then(|oldest| book.tokens.get_mut(&oldest)) {
            token.ended.get_or_insert(Refusal::KickedOut);
        }
        book.most_live = book.most_live.max(book.live());
        drop(book);
        self.describe(&text, caller, client_type, life)
    }

    fn describe(&self, token: &str, caller: &Caller, client_type: i64, life: Duration) -> Value {
        let seconds = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
        let now = self.now_seconds();
        json!({
            "accessToken": token,
            "tokenIp": "127.0.0.1",
            "validPeriod": seconds,
            "expireTime": now.saturating_add(seconds),
            "createTime": now * 1_000,
            "clientType": client_type,
            "forceLoginInd": null,
            "firstLogin": false,
            "pwdExpired": false,
            "daysPwdAvailable": -1,
            "delayDelete": false,
            "tokenType": 0,
            "refreshToken": format!("refresh-{}", &token[..token.len().min(8)]),
            "refreshValidPeriod": 2_592_000,
            "refreshExpireTime": now + 2_592_000,
            "refreshCreateTime": now * 1_000,
            "proxyToken": null,
            "user": {
                "userId": format!("{:032x}", u128::from(mix(1, caller.user.len() as u64))),
                "ucloginAccount": caller.name(),
                "serviceAccount": null,
                "companyId": "807074304",
                "spId": "8a8df0a174a1c6680174a26f578b0000",
                "companyDomain": null,
                "userType": 2,
                "adminType": caller.admin_type,
                "name": caller.name(),
                "nameEn": "",
                "thirdAccount": caller.user,
                "status": 0,
                "appId": self.credentials.app_id,
                "corpType": 0,
            },
        })
    }

    fn now_seconds(&self) -> i64 {
        let seconds = i64::try_from(since_epoch().as_secs()).unwrap_or(i64::MAX);
        let set = self.set_off.load(Ordering::Relaxed);
        seconds.saturating_add(self.credentials.clock_offset.saturating_add(set))
    }

    /// Sets the server's clock, which goes on from there.
    pub(super) fn set_clock(&self, seconds: i64) {
        let off = seconds.saturating_sub(self.now_seconds());
        self.set_off.fetch_add(off, Ordering::Relaxed);
    }

    /// Whether the server's clock shows another time than the machine's.
    pub(super) fn has_own_clock(&self) -> bool {
        self.credentials.clock_offset != 0 || self.set_off.load(Ordering::Relaxed) != 0
    }

    /// What the server's clock shows.
    pub(super) fn now(&self) -> SystemTime {
        let seconds = u64::try_from(self.now_seconds()).unwrap_or(0);
        UNIX_EPOCH + Duration::from_secs(seconds)
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulator::auth::login::sign;
    use crate::simulator::options::{APP_ID, APP_KEY};

    const NONCE: &str = "EycLQsHwxhzK9OW8UEKWNfH2I3CGR2nINuU1EBpQ";

    #[test]
    fn the_signature_meets_the_known_answers() {
        let until = "1627722929";
        for (parts, signature) in [
            (
                vec![APP_ID, "alice@ent01", until, NONCE],
                "e227950174c0333b762c11ad712bc894341a49f28f219c5255d8eaef81b1bd16",
            ),
            (
                vec![APP_ID, "", until, NONCE],
                "a3f9eb7ded623cec9b349637d3759299ece6a233609ea81f7973f93e7c85fec7",
            ),
            (
                vec![APP_ID, "807074304", "alice@ent01", until, NONCE],
                "bf7796af7499e268be190e8b1474a8e1b169c1b8e75a058e5f39522e7e3521d4",
            ),
            (
                vec![APP_ID, "", "", until, NONCE],
                "231cf4441dff9632c2d6b8395aa1bb5e8fd8da8af5a73b828e9f18b109ffd92f",
            ),
        ] {
            assert_eq!(sign(APP_KEY, &parts), signature);
        }
        assert_eq!(
            STANDARD.encode(APP_ID),
            "ZmRiOGU0Njk5NTg2NDU4YmJkMTBjODM0ODcyZGNjNjI="
        );
    }

    fn desk(multi_tenant: bool) -> Auth {
        let credentials = Credentials {
            multi_tenant,
            ..Credentials::default()
        };
        Auth::new(&credentials, 1)
    }

    /// A login that is right in all parts but those that `spoil` changes after signing.
    fn log_in(desk: &Auth, nonce: &str, spoil: impl Fn(&mut Value)) -> Result<Value, String> {
        let until = desk.now_seconds() + 600;
        let mut body = json!({
            "appId": APP_ID, "clientType": 72, "expireTime": until, "nonce": nonce,
            "userId": "alice",
        });
        let text = until.to_string();
        let signature = if desk.credentials.multi_tenant {
            body["corpId"] = json!("807");
            sign(APP_KEY, &[APP_ID, "807", "alice", &text, nonce])
        } else {
            sign(APP_KEY, &[APP_ID, "alice", &text, nonce])
        };
        spoil(&mut body);
        let header = format!(
            "HMAC-SHA256 signature={},access={}",
            signature.to_uppercase(),
            STANDARD.encode(APP_ID)
        );
        desk.login(Some(&header), body.to_string().as_bytes())
            .map_err(|reply| String::from_utf8_lossy(&reply.body).into_owned())
    }

    #[test]
    fn a_signed_login_passes_once_in_both_modes() {
        for mode in [false, true] {
            let desk = desk(mode);
            let answer = log_in(&desk, NONCE, |_| {}).unwrap();
            let token = answer["accessToken"].as_str().unwrap();
            assert_eq!(desk.check(Some(token)).unwrap().user, "alice");
            let again = log_in(&desk, NONCE, |_| {}).unwrap_err();
            assert!(again.contains("206010025"), "{again}");
        }
    }

    #[test]
    fn a_login_that_is_wrong_in_any_part_is_refused() {
        type Spoil = fn(&mut Value);
        let cases: [(Spoil, &str); 6] = [
            (|body| body["userId"] = json!("bob"), "206010025"),
            (|body| body["corpId"] = json!("807074304"), "206010025"),
            (|body| body["appId"] = json!("other"), "206010025"),
            (|body| body["expireTime"] = json!(0), "206010025"),
            (|body| body["nonce"] = json!("short"), "200000003"),
            (|body| body["clientType"] = Value::Null, "200000003"),
        ];
        for (spoil, code) in cases {
            let error = log_in(&desk(false), NONCE, spoil).unwrap_err();
            assert!(error.contains(code), "{error}");
        }
    }

    #[test]
    fn wrong_passwords_lock_the_account_for_the_right_one_too() {
        use crate::simulator::options::{ACCOUNT, PASSWORD};
        let desk = desk(false);
        let log_in = |password: &str| {
            let header = format!("Basic {}", STANDARD.encode(format!("{ACCOUNT}:{password}")));
            let body = json!({"account": ACCOUNT, "clientType": 72}).to_string();
            desk.account_login(Some(&header), body.as_bytes())
                .map_err(|reply| String::from_utf8_lossy(&reply.body).into_owned())
        };
        let answer = log_in(PASSWORD).unwrap();
        let caller = desk.check(answer["accessToken"].as_str()).unwrap();
        assert_eq!(caller.user, ACCOUNT);
        assert!(!caller.is_administrator());
        for _ in 0..desk.credentials.lock_after {
            assert!(log_in("wrong").unwrap_err().contains("206010000"));
        }
        assert!(log_in(PASSWORD).unwrap_err().contains("206030015"));
    }

    #[test]
    fn a_signature_ages_by_the_clock_of_the_server() {
        let mut late = desk(false);
        late.credentials.clock_offset = 3_600;
        let header = |nonce: &str, until: i64| {
            let signature = sign(APP_KEY, &[APP_ID, "", &until.to_string(), nonce]);
            format!(
                "HMAC-SHA256 signature={signature},access={}",
                STANDARD.encode(APP_ID)
            )
        };
        let body = |until: i64| {
            json!({"appId": APP_ID, "clientType": 72, "expireTime": until, "nonce": NONCE})
                .to_string()
        };
        let until = late.now_seconds() - 3_000;
        let refused = late.login(Some(&header(NONCE, until)), body(until).as_bytes());
        let text = String::from_utf8_lossy(&refused.unwrap_err().body).into_owned();
        assert!(text.contains("206010057"), "{text}");
        let forever = late.login(Some(&header(NONCE, 0)), body(0).as_bytes());
        assert!(forever.is_ok());
    }

    #[test]
    fn one_token_too_many_pushes_the_oldest_out() {
        let desk = desk(false);
        let tokens: Vec<_> = (0..65)
            .map(|n| log_in(&desk, &format!("{n:032}"), |_| {}).unwrap())
            .map(|answer| answer["accessToken"].as_str().unwrap().to_owned())
            .collect();
        let refused = desk.check(Some(&tokens[0])).unwrap_err();
        assert!(String::from_utf8_lossy(&refused.body).contains("USG.206020002"));
        assert!(
            tokens[1..]
                .iter()
                .all(|token| desk.check(Some(token)).is_ok())
        );
        assert_eq!((desk.live(), desk.most_live()), (64, 64));
        desk.logout(Some(&tokens[7])).unwrap();
        assert_eq!((desk.live(), desk.most_live()), (63, 64));
    }

    #[test]
    fn a_token_ends_by_logout_by_age_and_by_order() {
        let mut desk = desk(false);
        desk.credentials.token_life = Duration::ZERO;
        let old = log_in(&desk, &"a".repeat(32), |_| {}).unwrap();
        let refused = desk.check(old["accessToken"].as_str()).unwrap_err();
        assert!(String::from_utf8_lossy(&refused.body).contains("USG.000000004"));
        desk.credentials.token_life = Duration::from_secs(9);
        let fresh = log_in(&desk, &"b".repeat(32), |_| {}).unwrap();
        assert!(desk.logout(fresh["accessToken"].as_str()).is_ok());
        assert!(desk.check(fresh["accessToken"].as_str()).is_err());
        desk.accept("mine");
        assert!(desk.check(Some("mine")).is_ok());
        desk.expire_all(Refusal::TimedOut);
        assert!(desk.check(Some("mine")).is_err());
    }
}
