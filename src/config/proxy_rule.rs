//! Which way requests go: what is not encrypted, and what is for this machine, passes no proxy.
//!
//! Every HTTP client of the process asks here. A proxy learns no more than the host's name of an
//! encrypted connection; of any other it would learn tokens, signatures and records.

use url::{Host, Url};

/// Whether a host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Whether a request may pass a proxy of the environment, through a tunnel.
pub(crate) fn may_pass_a_proxy(url: &Url) -> bool {
    url.scheme() == "https" && !is_loopback(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_for_encrypted_requests_to_other_machines() {
        for (url, may_pass) in [
            ("https://lake.example.com/x", true),
            ("https://169.254.169.254/", true),
            ("http://lake.example.com/x", false),
            ("http://169.254.169.254/latest/api/token", false),
            ("http://127.0.0.1:9000/lake", false),
            ("https://127.0.0.9:9000/lake", false),
            ("https://[::1]:9000/lake", false),
            ("https://localhost/lake", false),
        ] {
            assert_eq!(may_pass_a_proxy(&url.parse().unwrap()), may_pass, "{url}");
        }
    }
}
