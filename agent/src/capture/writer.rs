//! Writes blocks of frames to a file, on a thread of its own: a slow disk must not hold up the rings.

use std::{
    fs::File,
    io::{self, Seek, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use crate::privilege::files;

/// Blocks that may wait for the disk.
const WAITING: usize = 64;

/// Whole frames, and how many.
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: u64,
}

/// What became of blocks that were given to the thread.
#[derive(Debug, Default)]
struct State {
    /// Entries that are not in the file.
    lost: u64,
    /// What the system said when it took no more.
    failure: Option<String>,
}

/// The pipeline's end.
pub(super) struct Writer {
    blocks: Option<SyncSender<Block>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<Mutex<State>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(file: File) -> io::Result<Self> {
        let (blocks, receiver) = sync_channel(WAITING);
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let work = move || {
            files::keep_to_own();
            write(file, &receiver, &shared);
        };
        let thread = std::thread::Builder::new().name("capture".into()).spawn(work)?;
        Ok(Self { blocks: Some(blocks), thread: Some(thread), state })
    }

    /// Gives a block to the thread; false when too many wait already.
    pub(super) fn send(&self, block: Block) -> bool {
        let Some(blocks) = &self.blocks else { return false };
        match blocks.try_send(block) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }

    /// Gives a block to the thread and waits for room.
    pub(super) fn send_last(&self, block: Block) {
        if let Some(blocks) = &self.blocks {
            // The thread ends after us.
            let _ = blocks.send(block);
        }
    }

    /// Entries that were given to the thread and are not in the file, and what the system said.
    pub(super) fn failed(&self) -> (u64, Option<String>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.lost, state.failure.clone())
    }

    /// Waits until everything is written.
    pub(super) fn finish(&mut self) {
        self.blocks = None;
        if let Some(thread) = self.thread.take() {
            // It does not panic, and if it did there is nothing left to write.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish();
    }
}

fn write(mut file: File, blocks: &Receiver<Block>, state: &Mutex<State>) {
    // The head is there already.
    let mut whole = file.stream_position().unwrap_or(0);
    let mut failed = false;
    for block in blocks {
        let outcome = if failed { Ok(()) } else { file.write_all(&block.bytes) };
        if !failed && outcome.is_ok() {
            whole += block.bytes.len() as u64;
            continue;
        }
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lost += block.entries;
        if let Err(error) = outcome {
            failed = true;
            state.failure = Some(error.to_string());
            // Half a block would be told as damage. Where this fails as well, it is.
            let _ = file.set_len(whole);
        }
    }
}
