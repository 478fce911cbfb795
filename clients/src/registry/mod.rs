//! The schema registry, by the interface that Confluent's has and others speak as well (Apicurio's `ccompat`, Karapace).
//!
//! The URL may have a path (`/apis/ccompat/v7`). The address is used as it is written: no proxy of the environment, and no
//! redirect, which would turn a registration into a question.

mod error;

use std::time::{Duration, Instant};

use afterbay_crds::plan::{CompatibilityLevel, RegistryBasicPlan, RegistryConnectionPlan};
use backon::{ExponentialBuilder, Retryable as _};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{secret, tls};

pub use error::{RegistryError, RegistryErrorKind};

/// The interface's own media type.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time a call is not tried again.
const DEADLINE: Duration = Duration::from_secs(10);
/// The longest answer that is read: an id, or why a schema is refused, which may show the schema.
const ANSWER_BYTES_MAX: usize = 16 << 20;
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A client of one registry.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    http: Client,
    base: Url,
    basic: Option<RegistryBasicPlan>,
}

#[derive(Serialize)]
struct RegisterRequest<'a> {
    schema: &'a str,
}

#[derive(Serialize)]
struct CompatibilityRequest<'a> {
    compatibility: &'a str,
}

#[derive(Deserialize)]
struct CompatibilityAnswer {
    #[serde(rename = "compatibilityLevel")]
    compatibility_level: Option<String>,
}

#[derive(Deserialize)]
struct RegisterAnswer {
    id: u32,
}

impl RegistryClient {
    /// A client for a registry; nothing is sent yet.
    pub fn new(plan: &RegistryConnectionPlan) -> Result<Self, RegistryError> {
        let failed = |words: String| RegistryError::new(RegistryErrorKind::Failed, words, &plan.url);
        let base = Url::parse(&plan.url).map_err(|error| failed(format!("not a URL: {error}")))?;
        if base.cannot_be_a_base() {
            return Err(failed("not a URL with a host".to_owned()));
        }
        let config = tls::registry(plan)
            .map_err(|error| RegistryError::new(RegistryErrorKind::TlsFiles, error.to_string(), &plan.url))?;
        let http = Client::builder()
            .tls_backend_preconfigured(config)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("afterbay/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self { http, base, basic: plan.basic.clone() })
    }

    /// Registers a schema under a subject, or finds it there; its id.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, RegistryError> {
        let url = self.url(&["subjects", subject, "versions"]);
        let body = serde_json::to_vec(&RegisterRequest { schema })
            .map_err(|error| self.error(RegistryErrorKind::Failed, error.to_string()))?;
        let registered = retrying(|| self.register_once(&url, &body)).await;
        registered.map_err(|error| error.about(subject))
    }

    /// Sees to it that a subject has this compatibility level; gives its own one where that is another, which is left.
    ///
    /// Source: Confluent's interface, "Compatibility" (`GET` and `PUT /config/(string: subject)`).
    pub async fn compatibility(
        &self,
        subject: &str,
        wanted: CompatibilityLevel,
    ) -> Result<Option<String>, RegistryError> {
        let level = retrying(|| self.compatibility_once(subject, wanted)).await;
        level.map_err(|error| error.about(subject))
    }

    /// Whether a registry answers, and lets us in.
    pub async fn check(&self) -> Result<(), RegistryError> {
        let url = self.url(&["subjects"]);
        retrying(|| self.check_once(&url)).await
    }

    async fn register_once(&self, url: &Url, body: &[u8]) -> Result<u32, RegistryError> {
        let request = self.request(Method::POST, url.clone())?.header(CONTENT_TYPE, MEDIA_TYPE);
        let answer = self.send(request.body(body.to_vec())).await?;
        let bytes = self.body(answer).await?;
        let answer: RegisterAnswer = serde_json::from_slice(&bytes).map_err(|_| {
            self.error(RegistryErrorKind::Failed, "the answer holds no schema id; is this a schema registry?")
        })?;
        Ok(answer.id)
    }

    async fn compatibility_once(
        &self,
        subject: &str,
        wanted: CompatibilityLevel,
    ) -> Result<Option<String>, RegistryError> {
        let mut url = self.url(&["config", subject]);
        let body = serde_json::to_vec(&CompatibilityRequest { compatibility: wanted.as_str() })
            .map_err(|error| self.error(RegistryErrorKind::Failed, error.to_string()))?;
        let set = self.request(Method::PUT, url.clone())?.header(CONTENT_TYPE, MEDIA_TYPE).body(body);
        url.query_pairs_mut().append_pair("defaultToGlobal", "false");
        let answer = match self.send(self.request(Method::GET, url)?).await {
            Ok(answer) => answer,
            Err(error) if error.status == Some(StatusCode::NOT_FOUND) => {
                self.send(set).await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let bytes = self.body(answer).await?;
        let answer: CompatibilityAnswer = serde_json::from_slice(&bytes).map_err(|_| {
            self.error(RegistryErrorKind::Failed, "the answer holds no compatibility level; is this a schema registry?")
        })?;
        let Some(level) = answer.compatibility_level else {
            // Something else is set for the subject, and no level.
            self.send(set).await?;
            return Ok(None);
        };
        Ok((level != wanted.as_str()).then_some(level))
    }

    async fn check_once(&self, url: &Url) -> Result<(), RegistryError> {
        let mut answer = self.send(self.request(Method::GET, url.clone())?).await?;
        // Many a server has a page for any path. A list of many subjects is long, and its begin says enough.
        while let Some(bytes) = answer.chunk().await.map_err(|error| self.transport(&error))? {
            match bytes.trim_ascii_start().first() {
                Some(b'[') => return Ok(()),
                Some(_) => break,
                None => {}
            }
        }
        let words = "the answer is no list of subjects; is this a schema registry?";
        Err(self.error(RegistryErrorKind::Failed, words))
    }

    fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, RegistryError> {
        let request = self.http.request(method, url).header(ACCEPT, format!("{MEDIA_TYPE}, application/json"));
        let Some(basic) = &self.basic else { return Ok(request) };
        let read = |path| {
            let secret = secret::read(path)
                .map_err(|error| self.error(RegistryErrorKind::SecretUnreadable, error.to_string()))?;
            String::from_utf8(secret.expose_secret().to_vec()).map_err(|_| {
                self.error(RegistryErrorKind::SecretUnreadable, format!("{} is not UTF-8", path.display()))
            })
        };
        Ok(request.basic_auth(read(&basic.username_file)?, Some(read(&basic.password_file)?)))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, RegistryError> {
        let answer = request.send().await.map_err(|error| self.transport(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = self.body(answer).await.unwrap_or_default();
        Err(RegistryError::answered(status, &body, self.base.as_str()))
    }

    /// The body of an answer, no more than an answer can have.
    async fn body(&self, mut answer: Response) -> Result<Vec<u8>, RegistryError> {
        let mut body = Vec::new();
        while let Some(bytes) = answer.chunk().await.map_err(|error| self.transport(&error))? {
            if body.len() + bytes.len() > ANSWER_BYTES_MAX {
                let words = format!("the answer has more than {ANSWER_BYTES_MAX} bytes; is this a schema registry?");
                return Err(self.error(RegistryErrorKind::Failed, words));
            }
            body.extend_from_slice(&bytes);
        }
        Ok(body)
    }

    /// The address of a resource: what is given stands below the base, each part encoded as one segment.
    fn url(&self, parts: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(parts);
        }
        url
    }

    fn error(&self, kind: RegistryErrorKind, words: impl Into<String>) -> RegistryError {
        RegistryError::new(kind, words, self.base.as_str())
    }

    fn transport(&self, error: &reqwest::Error) -> RegistryError {
        RegistryError::transport(error, self.base.as_str())
    }
}

/// Tries again what can pass by itself, with growing pauses, as long as [`DEADLINE`] is not over.
async fn retrying<T, F>(attempt: impl FnMut() -> F) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    let pauses = ExponentialBuilder::default()
        .with_min_delay(PAUSE_FIRST)
        .with_max_delay(PAUSE_MAX)
        .with_jitter()
        .without_max_times();
    let begun = Instant::now();
    attempt.retry(pauses).when(|error: &RegistryError| error.transient() && begun.elapsed() < DEADLINE).await
}

#[cfg(test)]
mod tests;
