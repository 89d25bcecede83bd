//! Questions to a server over HTTP.

use std::net::SocketAddr;

/// What came.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    headers: ureq::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Asks for `path`, with these headers.
pub(crate) fn fetch(http: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Fetched {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let agent: ureq::Agent = config.build().into();
    let mut request = agent.get(format!("http://{http}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.call().unwrap();
    Fetched {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec()
            .unwrap(),
    }
}

impl Fetched {
    /// A header; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Asserts that it is a problem of this kind whose detail holds `words`.
    pub(crate) fn assert_problem(&self, status: u16, kind: &str, words: &str) {
        let problem = self.json();
        assert_eq!(self.status, status, "{problem}");
        assert_eq!(problem["type"], format!("urn:nvring:problem:{kind}"));
        assert_eq!(self.header("content-type"), "application/problem+json");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "`{words}` in: {detail}");
    }
}
