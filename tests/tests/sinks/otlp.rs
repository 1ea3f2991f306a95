//! OTLP: the official server over gRPC, and HTTP with protobuf.

use std::{
    collections::VecDeque,
    net::TcpListener as StdListener,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    common::v1::any_value::Value,
};
use prost::Message as _;
use tokenhound_tests::skip;
use tokio::sync::oneshot;
use tonic::{Code, Request, Response, Status, transport::Server};

use crate::{
    courier::{Courier, first},
    web::{Act, Web},
};

const COUNT: usize = 40;

fn uids(request: &ExportLogsServiceRequest) -> Vec<String> {
    let records = request.resource_logs.iter().flat_map(|logs| &logs.scope_logs).flat_map(|logs| &logs.log_records);
    let uid = |attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue]| {
        let pair = attributes.iter().find(|pair| pair.key == "tokenhound.uid").unwrap();
        let Some(Value::StringValue(uid)) = pair.value.clone().unwrap().value else { panic!("{pair:?}") };
        uid
    };
    records.map(|record| uid(&record.attributes)).collect()
}

#[derive(Clone)]
pub(crate) enum Say {
    Yes,
    No(Code),
    Nothing,
    But(i64),
}

#[derive(Clone, Default)]
pub(crate) struct Logs {
    taken: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<VecDeque<Say>>>,
}

#[tonic::async_trait]
impl LogsService for Logs {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let say = self.script.lock().unwrap().pop_front().unwrap_or(Say::Yes);
        let mut partial = None;
        match say {
            Say::Yes => {}
            Say::No(code) => return Err(Status::new(code, "as the test wants")),
            Say::Nothing => std::future::pending::<()>().await,
            Say::But(rejected_log_records) => {
                partial = Some(ExportLogsPartialSuccess { rejected_log_records, error_message: "too old".to_owned() });
            }
        }
        self.taken.lock().unwrap().extend(uids(request.get_ref()));
        Ok(Response::new(ExportLogsServiceResponse { partial_success: partial }))
    }
}

/// A server until it is dropped.
pub(crate) struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Logs {
    /// What comes next is said to the next calls; later ones are taken.
    pub(crate) fn then(&self, say: impl IntoIterator<Item = Say>) {
        self.script.lock().unwrap().extend(say);
    }

    /// The uid of every record that it took.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    /// Starts it at that port of loopback.
    pub(crate) fn serve(&self, port: u16) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let service = LogsServiceServer::new(self.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let address = format!("127.0.0.1:{port}").parse().unwrap();
                let served = Server::builder().add_service(service).serve(address);
                // Without grace: calls that are under way break.
                tokio::select! { ended = served => ended.unwrap(), _ = stopped => {} }
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        Running { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn grpc_takes_everything_through_all_trouble() {
    if !skip::native("programs on loopback do not depend on the kernel") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (logs, port) = (Logs::default(), free_port());
    logs.script.lock().unwrap().extend([
        Say::No(Code::Unavailable),
        Say::Yes,
        Say::No(Code::Aborted),
        Say::No(Code::DeadlineExceeded),
        Say::Yes,
        Say::Nothing,
        Say::No(Code::Unauthenticated),
        Say::Yes,
        Say::But(0),
        Say::No(Code::Cancelled),
    ]);
    // It starts before its receiver does.
    let sink = format!("type: otlp, protocol: grpc, url: 'http://127.0.0.1:{port}', batch: 3, timeout: 1s");
    let mut courier = Courier::start(directory.path(), &sink, COUNT, "finding");
    let running = logs.serve(port);
    courier.until("trouble with a receiver", || logs.script.lock().unwrap().is_empty().then_some(()));
    drop(running);
    courier.kill();
    let _running = logs.serve(port);
    courier.done();
    let taken = logs.taken.lock().unwrap().clone();
    assert_eq!(first(&taken), courier.uids().into_iter().collect::<Vec<_>>(), "{}", courier.said());
    assert!(!courier.said().contains("aside"), "{}", courier.said());
}

#[test]
fn what_a_receiver_rejects_is_counted_and_not_sent_again() {
    if !skip::native("programs on loopback do not depend on the kernel") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (logs, port) = (Logs::default(), free_port());
    // Two of the first four; then one call for good: alone, its first is minded again.
    let refused = Say::No(Code::InvalidArgument);
    logs.script.lock().unwrap().extend([Say::But(2), refused.clone(), refused]);
    let _running = logs.serve(port);
    let sink = format!("type: otlp, protocol: grpc, url: 'http://127.0.0.1:{port}', batch: 4");
    let mut courier = Courier::start(directory.path(), &sink, 12, "finding");
    courier.done();
    let said = courier.said();
    assert_eq!(said.matches("the receiver rejected 2 of 4 records of one call: too old").count(), 2, "{said}");
    assert_eq!(said.matches("aside").count(), 3, "{said}");
    let taken = logs.taken.lock().unwrap().clone();
    assert_eq!((taken.len(), first(&taken).len()), (11, 11), "all but f-000005, and nothing twice: {taken:?}");
}

#[test]
fn http_takes_everything_through_all_trouble() {
    if !skip::native("programs on loopback do not depend on the kernel") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let web = Web::start(None);
    web.then([
        Act::Answer(503, "Retry-After: 0\r\n"),
        Act::Answer(200, ""),
        Act::Answer(429, ""),
        Act::Stall,
        Act::Answer(200, ""),
        Act::Answer(502, ""),
        Act::Cut,
        Act::Answer(504, ""),
    ]);
    let sink = format!("type: otlp, url: 'http://127.0.0.1:{}', batch: 3, timeout: 1s, body: json", web.port);
    let mut courier = Courier::start(directory.path(), &sink, COUNT, "finding");
    courier.until("trouble with a receiver", || (web.left() == 0).then_some(()));
    web.stop();
    courier.kill();
    web.restart();
    courier.done();
    let taken: Vec<String> = web
        .taken()
        .iter()
        .flat_map(|one| {
            assert!(one.head.starts_with("POST /v1/logs HTTP/1.1\r\n"), "{}", one.head);
            uids(&ExportLogsServiceRequest::decode(one.body.as_slice()).unwrap())
        })
        .collect();
    assert_eq!(first(&taken), courier.uids().into_iter().collect::<Vec<_>>(), "{}", courier.said());
    assert!(!courier.said().contains("aside"), "{}", courier.said());
}
