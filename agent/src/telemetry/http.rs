//! `/metrics`, `/healthz` and `/readyz`.

pub mod door;

use std::{
    collections::BTreeMap,
    fmt::Write,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{FromRequestParts, State},
    http::{
        StatusCode,
        header::{CONTENT_TYPE, WWW_AUTHENTICATE},
        request::Parts,
    },
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text, registry::Registry};

use self::door::Door;

/// What OpenMetrics asks for (its specification, section "Protocol negotiation").
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why serving ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[error("serve metrics: {0}")]
pub struct ServeError(#[from] std::io::Error);

/// Whether every probe has proved itself. Clones share the state.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Option<String>>>>);

impl Readiness {
    /// Not ready until each of `probes` is live.
    #[must_use]
    pub fn new(probes: impl IntoIterator<Item = String>) -> Self {
        let pending = |probe| (probe, Some("not proved yet".to_owned()));
        Self(Arc::new(Mutex::new(probes.into_iter().map(pending).collect())))
    }

    /// `probe` delivers.
    pub fn live(&self, probe: &str) {
        self.set(probe, None);
    }

    /// `probe` does not deliver, and why.
    pub fn not_live(&self, probe: &str, why: &str) {
        self.set(probe, Some(why.to_owned()));
    }

    fn set(&self, probe: &str, state: Option<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(probe.to_owned(), state);
    }

    /// One line for each probe that does not deliver; `None` when all do. Without any probe the agent is not ready.
    #[must_use]
    pub fn why_not(&self) -> Option<String> {
        let probes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if probes.is_empty() {
            return Some("no probe is attached yet\n".to_owned());
        }
        let mut why = String::new();
        for (probe, state) in probes.iter() {
            if let Some(state) = state {
                let _ = writeln!(why, "probe {probe}: {state}");
            }
        }
        (!why.is_empty()).then_some(why)
    }
}

#[derive(Clone)]
struct Shared {
    registry: Arc<Registry>,
    readiness: Readiness,
    door: Door,
}

/// Whoever asks brings the token, where one is asked for.
struct LetIn;

impl FromRequestParts<Shared> for LetIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        match shared.door.lets_in(&parts.headers) {
            true => Ok(Self),
            false => {
                Err((StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], "a token is needed\n").into_response())
            }
        }
    }
}

/// Serves on `listener` until `shutdown` completes, over TLS where `door` says so; then what is open at that time is cut. `/healthz`
/// says nothing but that we run, and is for everybody; the other pages show what is seen and what is not.
///
/// # Errors
/// When the listener fails. Trouble with one connection is not an error.
pub async fn serve(
    listener: tokio::net::TcpListener,
    registry: Arc<Registry>,
    readiness: Readiness,
    door: Door,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let app = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Shared { registry, readiness, door: door.clone() });
    let Some(tls) = door.tls() else {
        axum::serve(listener, app).with_graceful_shutdown(shutdown).await?;
        return Ok(());
    };
    let server = axum_server::from_tcp_rustls(listener.into_std()?, tls)?.http1_only();
    tokio::select! {
        outcome = server.serve(app.into_make_service()) => outcome?,
        () = shutdown => {}
    }
    Ok(())
}

async fn metrics(_: LetIn, State(shared): State<Shared>) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, &shared.registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], body).into_response(),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be encoded\n").into_response(),
    }
}

async fn ready(_: LetIn, State(shared): State<Shared>) -> (StatusCode, String) {
    match shared.readiness.why_not() {
        None => (StatusCode::OK, "ready\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::telemetry::metrics::Metrics;

    async fn fetch(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_three_pages() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_metrics, registry) = Metrics::new();
        let readiness = Readiness::new(["file_open".to_owned(), "exec".to_owned()]);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async { drop(stopped.await) };
        let server = tokio::spawn(serve(listener, Arc::new(registry), readiness.clone(), Door::default(), shutdown));

        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        readiness.live("exec");
        readiness.not_live("file_open", "its canary did not arrive");
        let answer = fetch(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with("probe file_open: its canary did not arrive\n"), "{answer}");
        readiness.live("file_open");
        assert!(fetch(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        let answer = fetch(address, "/metrics").await;
        assert!(answer.contains("content-type: application/openmetrics-text; version=1.0.0"), "{answer}");
        assert!(answer.contains("tokenhound_build_info") && answer.contains("# EOF"), "{answer}");
        assert!(fetch(address, "/other").await.starts_with("HTTP/1.1 404"));

        stop.send(()).unwrap();
        server.await.unwrap().unwrap();
    }

    #[test]
    fn without_probes_nothing_is_ready() {
        assert!(Readiness::default().why_not().is_some());
    }
}
