//! OTLP over gRPC, with the official client. The runtime belongs to the sink's thread and runs only during a call.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse, logs_service_client::LogsServiceClient,
};
use tokio::runtime::{Builder, Runtime};
use tonic::{
    Code, Request, Status,
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::{Channel, Endpoint as Channels},
};
use tonic_types::StatusExt as _;

use crate::{
    sink::{
        Refused,
        http::{MAX_WAIT, OpenError, cleaned, shown, token, url},
        keys::Endpoint,
    },
    token::secret::Secret,
};

/// Largest answer, in bytes.
const MAX_ANSWER: usize = 64 << 10;

pub(super) struct Grpc {
    runtime: Runtime,
    client: LogsServiceClient<Channel>,
    token: Option<(AsciiMetadataKey, AsciiMetadataValue)>,
    secrets: Vec<Secret>,
    shown: String,
    timeout: Duration,
}

impl Grpc {
    pub(super) fn open(endpoint: &Endpoint) -> Result<Self, OpenError> {
        let (text, uri) = url(endpoint, "")?;
        let runtime = Builder::new_current_thread().enable_all().build().map_err(OpenError::Runtime)?;
        let text = String::from_utf8_lossy(text.expose()).into_owned();
        let bad = |_| OpenError::Address("is none for gRPC");
        let mut channels = Channels::from_shared(text)
            .map_err(bad)?
            .connect_timeout(endpoint.timeout.min(Duration::from_secs(10)))
            .timeout(endpoint.timeout)
            .user_agent(concat!("tokenhound/", env!("CARGO_PKG_VERSION")))
            .map_err(bad)?;
        if uri.scheme_str() == Some("https") {
            channels = channels.tls_config(endpoint.tls.load()?.grpc()?).map_err(bad)?;
        }
        let mut secrets = Vec::new();
        let mut header = None;
        if let Some(token) = token(endpoint)? {
            let value = token.value.expose();
            let key =
                AsciiMetadataKey::from_bytes(token.header.as_bytes()).map_err(|_| OpenError::Token("token_header"))?;
            let mut text = AsciiMetadataValue::try_from(value).map_err(|_| OpenError::Token("token_file"))?;
            text.set_sensitive(true);
            secrets.push(Secret::copy(value.strip_prefix(b"Bearer ").unwrap_or(value)));
            header = Some((key, text));
        }
        // Connects with the first call, and anew after a connection broke.
        let channel = {
            let _inside = runtime.enter();
            channels.connect_lazy()
        };
        let client = LogsServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER);
        Ok(Self { runtime, client, token: header, secrets, shown: shown(&uri), timeout: endpoint.timeout })
    }

    pub(super) fn export(&mut self, request: ExportLogsServiceRequest) -> Result<ExportLogsServiceResponse, Refused> {
        let mut request = Request::new(request);
        if let Some((key, value)) = &self.token {
            request.metadata_mut().insert(key.clone(), value.clone());
        }
        let (client, limit) = (&mut self.client, self.timeout);
        // The channel's own limit ends calls; this one ends whatever does not heed it.
        let answer = self.runtime.block_on(async { tokio::time::timeout(limit, client.export(request)).await });
        match answer {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => {
                let told = format!(
                    "{} answered {:?}: {}",
                    self.shown,
                    status.code(),
                    cleaned(status.message(), &self.secrets)
                );
                Err(judge(&status, told))
            }
            Err(_) => Err(Refused::Later { why: format!("{} did not answer in time", self.shown), after: None }),
        }
    }
}

/// OTLP/gRPC, "Failures": the codes that are retryable; `RESOURCE_EXHAUSTED` only with a `RetryInfo`.
fn judge(status: &Status, why: String) -> Refused {
    let after = status.get_details_retry_info().and_then(|info| info.retry_delay).map(|wait| wait.min(MAX_WAIT));
    // A status with a source was not sent by the receiver: it stands for a connection that failed.
    let ours = std::error::Error::source(status).is_some();
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Refused::Later { why, after },
        Code::ResourceExhausted if after.is_some() => Refused::Later { why, after },
        // Against the letter of the specification: no item is to blame for our credential.
        Code::Unauthenticated => Refused::Later { why: format!("{why}; look at the credential of the sink"), after },
        _ if ours => Refused::Later { why, after },
        _ => Refused::ForGood { why },
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;

    #[test]
    fn a_code_says_whether_to_try_again() {
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ] {
            assert!(matches!(judge(&Status::new(code, ""), String::new()), Refused::Later { .. }), "{code:?}");
        }
        for code in [
            Code::Unknown,
            Code::InvalidArgument,
            Code::NotFound,
            Code::PermissionDenied,
            Code::ResourceExhausted,
            Code::Unimplemented,
            Code::Internal,
        ] {
            assert!(matches!(judge(&Status::new(code, ""), String::new()), Refused::ForGood { .. }), "{code:?}");
        }
    }

    #[test]
    fn a_wait_that_is_asked_for_is_kept_and_bounded() {
        for (asked, kept) in [(7, 7), (86_400, 900)] {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(asked)));
            let status = Status::with_error_details(Code::ResourceExhausted, "full", details);
            let Refused::Later { after, .. } = judge(&status, String::new()) else { unreachable!() };
            assert_eq!(after, Some(Duration::from_secs(kept)));
        }
    }
}
