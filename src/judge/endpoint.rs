//! Where a judge's server is: what `--judge` names, completed to the address of its chat completions.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

const CHAT_COMPLETIONS: &str = "chat/completions";

/// The address that calls go to.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// The whole address, its query included.
    pub fn url(&self) -> Url {
        self.0.clone()
    }

    /// Whether what is sent there can be read on the way: no TLS, and another machine.
    pub fn is_open(&self) -> bool {
        let here = |host: &str| matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
        self.0.scheme() == "http" && !self.0.host_str().is_some_and(here)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// A server (`http://localhost:8000`), its base URL (`https://api.openai.com/v1`) or the whole address.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut url = Url::parse(text)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or("give an http or https address: `http://localhost:8000/v1`, `https://api.openai.com/v1`")?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address may not hold a name or password; set VILA_BENCH_JUDGE_KEY".to_owned());
        }
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/').to_owned();
        if !path.ends_with(&format!("/{CHAT_COMPLETIONS}")) {
            let versioned = path.split('/').any(is_version);
            let version = if versioned { "" } else { "/v1" };
            url.set_path(&format!("{path}{version}/{CHAT_COMPLETIONS}"));
        }
        Ok(Self(url))
    }
}

/// `v1`, `v1beta`.
fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Without the query, in which some servers take secrets.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        shown.set_query(None);
        f.write_str(shown.as_str())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_completed() {
        let cases = [
            ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
            ("http://localhost:8000/", "http://localhost:8000/v1/chat/completions"),
            (
                "https://api.openai.com/v1",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "https://api.openai.com/v1/",
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                "https://x.org/v1beta/openai",
                "https://x.org/v1beta/openai/chat/completions",
            ),
            ("https://x.org/api", "https://x.org/api/v1/chat/completions"),
            ("https://x.org/a/chat/completions", "https://x.org/a/chat/completions"),
        ];
        for (given, expected) in cases {
            assert_eq!(given.parse::<Endpoint>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn secrets_in_an_address_are_refused_or_not_shown() {
        let error = "https://me:secret@x.org".parse::<Endpoint>().unwrap_err();
        assert!(!error.contains("secret"), "{error}");
        let endpoint = "https://x.org/v1?api-version=1&key=secret".parse::<Endpoint>().unwrap();
        assert_eq!(endpoint.url().query(), Some("api-version=1&key=secret"));
        assert!(!format!("{endpoint} {endpoint:?}").contains("secret"));
    }

    #[test]
    fn other_things_are_no_address() {
        for text in ["", "localhost:8000", "ftp://x.org", "gpt-4", "http://"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_is_open_but_on_this_machine() {
        for (text, open) in [
            ("http://localhost:8000", false),
            ("http://127.0.0.1:1", false),
            ("http://[::1]:1", false),
            ("https://x.org", false),
            ("http://x.org", true),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().is_open(), open, "{text}");
        }
    }
}
