//! The queue between the engine and the sinks. Handing a finding over never blocks; a thread of its own writes, and
//! keeps what a sink does not take to try it again. Every queue is bounded, and what is given up is counted and logged.

use std::{
    collections::VecDeque,
    error::Error,
    io::Write,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{file::FileSink, text::TextSink};
use crate::{
    finding::model::Finding,
    telemetry::{
        events::{SinkDelivered, SinkDropped, SinkFailed, SinkQueue},
        metrics::Metrics,
    },
};

/// Findings that may wait for the thread.
const WAITING: usize = 4096;

/// Findings that are kept for one sink that fails; beyond, the oldest is given up.
const KEPT: usize = 4096;

/// How often a failing sink is tried when no new finding comes.
const RETRY: Duration = Duration::from_secs(1);

/// The thread that writes could not be started.
#[derive(Debug, thiserror::Error)]
#[error("start the thread that writes findings: {0}")]
pub struct StartError(#[from] std::io::Error);

type Deliver = Box<dyn FnMut(&Arc<Finding>) -> Result<(), Box<dyn Error>> + Send>;

/// Every sink, before they are started.
#[derive(Default)]
pub struct Sinks {
    outlets: Vec<Outlet>,
}

/// One sink with what it has not taken yet.
struct Outlet {
    name: &'static str,
    deliver: Deliver,
    kept: VecDeque<Arc<Finding>>,
    limit: usize,
    /// The last attempt failed, and that has been logged.
    failing: bool,
}

impl Sinks {
    /// No sink yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also as text.
    #[must_use]
    pub fn text(self, mut sink: TextSink<impl Write + Send + 'static>) -> Self {
        self.with("text", Box::new(move |finding| Ok(sink.deliver(finding)?)))
    }

    /// Also as OCSF lines.
    #[must_use]
    pub fn file(self, mut sink: FileSink) -> Self {
        self.with("file", Box::new(move |finding| Ok(sink.deliver(finding)?)))
    }

    fn with(mut self, name: &'static str, deliver: Deliver) -> Self {
        self.outlets.push(Outlet { name, deliver, kept: VecDeque::new(), limit: KEPT, failing: false });
        self
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(mut self, metrics: Metrics) -> Result<SinkHandle, StartError> {
        let (sender, receiver) = sync_channel(WAITING);
        let shared = metrics.clone();
        let thread =
            std::thread::Builder::new().name("sinks".to_owned()).spawn(move || self.run(&receiver, &shared))?;
        Ok(SinkHandle { sender: Some(sender), thread: Some(thread), metrics })
    }

    /// Delivers until the other end is gone, then once more what is kept. Returns what is left undelivered.
    fn run(&mut self, receiver: &Receiver<Arc<Finding>>, metrics: &Metrics) -> usize {
        loop {
            match receiver.recv_timeout(RETRY) {
                Ok(finding) => self.outlets.iter_mut().for_each(|outlet| outlet.take(&finding, metrics)),
                Err(RecvTimeoutError::Timeout) => self.outlets.iter_mut().for_each(|outlet| outlet.flush(metrics)),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.outlets.iter_mut().for_each(|outlet| outlet.flush(metrics));
        self.outlets.iter().map(|outlet| outlet.kept.len()).sum()
    }
}

impl Outlet {
    fn take(&mut self, finding: &Arc<Finding>, metrics: &Metrics) {
        if self.kept.len() >= self.limit
            && let Some(oldest) = self.kept.pop_front()
        {
            SinkDropped { sink: self.name, uid: &oldest.uid }.emit(metrics);
        }
        self.kept.push_back(Arc::clone(finding));
        self.flush(metrics);
    }

    /// Delivers in order, until the sink refuses.
    fn flush(&mut self, metrics: &Metrics) {
        while let Some(finding) = self.kept.front() {
            match (self.deliver)(finding) {
                Ok(()) => {
                    self.failing = false;
                    self.kept.pop_front();
                    SinkDelivered { sink: self.name }.emit(metrics);
                }
                Err(error) => {
                    SinkFailed { sink: self.name, error: error.as_ref(), known: self.failing }.emit(metrics);
                    self.failing = true;
                    break;
                }
            }
        }
        SinkQueue { sink: self.name, length: self.kept.len() }.emit(metrics);
    }
}

/// The engine's end of the queue. Dropping it waits for the thread.
pub struct SinkHandle {
    sender: Option<SyncSender<Arc<Finding>>>,
    thread: Option<JoinHandle<usize>>,
    metrics: Metrics,
}

impl SinkHandle {
    /// Hands a finding over without waiting; false when the queue was full or the thread gone, which is counted and
    /// logged.
    pub fn send(&self, finding: Arc<Finding>) -> bool {
        let Some(sender) = &self.sender else { return false };
        match sender.try_send(finding) {
            Ok(()) => true,
            Err(TrySendError::Full(finding) | TrySendError::Disconnected(finding)) => {
                SinkDropped { sink: "all", uid: &finding.uid }.emit(&self.metrics);
                false
            }
        }
    }

    /// Waits until everything is written, and returns how many deliveries are left that a sink did not take.
    #[must_use]
    pub fn finish(mut self) -> usize {
        self.join()
    }

    fn join(&mut self) -> usize {
        self.sender = None;
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or(0)
    }
}

impl Drop for SinkHandle {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path, sync::Mutex};

    use super::*;
    use crate::finding::{ocsf::Host, samples, text::Style};

    fn values(registry: &prometheus_client::registry::Registry) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
        text
    }

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_sink_gets_every_finding() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.jsonl");
        let (metrics, registry) = Metrics::new();
        let page = Page::default();
        let handle = Sinks::new()
            .text(TextSink::new(page.clone(), Style::default()))
            .file(FileSink::open(&path, Host::default()).unwrap())
            .start(metrics)
            .unwrap();
        let all = samples::all();
        assert!(all.iter().all(|finding| handle.send(Arc::new(finding.clone()))));
        assert_eq!(handle.finish(), 0);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), all.len());
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert!(all.iter().all(|finding| text.contains(&finding.uid)));
        let delivered = format!("tokenhound_sink_delivered_total{{sink=\"file\"}} {}\n", all.len());
        assert!(values(&registry).contains(&delivered));
    }

    #[test]
    fn a_full_disk_is_counted_and_the_findings_are_kept() {
        let (metrics, registry) = Metrics::new();
        let sink = FileSink::open(Path::new("/dev/full"), Host::default()).unwrap();
        let handle = Sinks::new().file(sink).start(metrics).unwrap();
        assert!(handle.send(Arc::new(samples::unexpected_reader())));
        assert_eq!(handle.finish(), 1);
        let text = values(&registry);
        assert!(text.contains("tokenhound_sink_failed_total{sink=\"file\"}"), "{text}");
        assert!(text.contains("tokenhound_sink_queue_length{sink=\"file\"} 1"), "{text}");
    }

    #[test]
    fn what_was_kept_is_delivered_in_order_when_the_sink_recovers() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("findings.jsonl");
        let (metrics, _registry) = Metrics::new();
        let mut sinks = Sinks::new().file(FileSink::open(&path, Host::default()).unwrap());
        let outlet = &mut sinks.outlets[0];
        // The file's place becomes a directory: as root, permissions would not stop a write.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let all: Vec<_> = samples::all().into_iter().map(Arc::new).collect();
        outlet.take(&all[0], &metrics);
        outlet.take(&all[1], &metrics);
        assert_eq!(outlet.kept.len(), 2);
        std::fs::remove_dir(&path).unwrap();
        outlet.take(&all[2], &metrics);
        assert!(outlet.kept.is_empty());
        let written = std::fs::read_to_string(&path).unwrap();
        let found: Vec<_> =
            written.lines().map(|line| all.iter().position(|finding| line.contains(&finding.uid))).collect();
        assert_eq!(found, [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn the_oldest_is_given_up_when_too_many_are_kept() {
        let (metrics, registry) = Metrics::new();
        let mut sinks = Sinks::new().file(FileSink::open(Path::new("/dev/full"), Host::default()).unwrap());
        let outlet = &mut sinks.outlets[0];
        outlet.limit = 2;
        for finding in samples::all() {
            outlet.take(&Arc::new(finding), &metrics);
        }
        assert_eq!(outlet.kept.len(), 2);
        let dropped = format!("tokenhound_sink_dropped_total{{sink=\"file\"}} {}\n", samples::all().len() - 2);
        assert!(values(&registry).contains(&dropped), "{}", values(&registry));
    }
}
