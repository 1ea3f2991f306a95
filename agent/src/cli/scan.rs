//! `tokenhound scan` (hidden): looks for made-up tokens in files or in random bytes, for measuring what the scanner costs
//! and whether it ever finds what is not there.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{CliError, Exit, load::Cost, print};
use crate::token::{
    fingerprint::{KEY_BYTES, Key},
    scan::{Hit, NeedleSet, Needles, Scanner},
    secret::Secret,
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Made-up tokens, one a line.
    #[arg(long, value_name = "FILE")]
    tokens: PathBuf,
    /// Look into random bytes for this long, besides.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    random: u64,
    /// Files and directories to look into.
    paths: Vec<PathBuf>,
}

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Looks, and says how fast it went.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let failure = |path: &Path, error: io::Error| CliError::failure(format!("read {}: {error}", path.display()));
    let key = Key::new([0x74; KEY_BYTES]);
    let tokens = fs::read_to_string(&options.tokens).map_err(|error| failure(&options.tokens, error))?;
    let needles: Vec<Needles> =
        tokens.lines().filter_map(|line| Needles::of(&key, &Secret::copy(line.as_bytes())).ok()).collect();
    let set = NeedleSet::new(&key, &needles);
    let mut work = Work { set: &set, piece: vec![0; PIECE], bytes: 0, hits: 0 };
    let begin = Cost::now();
    for path in &options.paths {
        work.path(path).map_err(|error| failure(path, error))?;
    }
    if options.random > 0 {
        work.random(Duration::from_secs(options.random));
    }
    let cost = Cost::now().since(&begin);
    let said = serde_json::json!({
        "tokens": set.len(),
        "needles": needles.iter().map(Needles::len).sum::<usize>(),
        "set_bytes": set.size(),
        "bytes": work.bytes,
        "hits": work.hits,
        "seconds": cost.seconds,
        "processor_seconds": cost.processor_seconds,
    });
    print(&format!("{said}\n"))?;
    Ok(Exit::Success)
}

struct Work<'s> {
    set: &'s NeedleSet,
    piece: Vec<u8>,
    bytes: u64,
    hits: u64,
}

impl Work<'_> {
    fn path(&mut self, path: &Path) -> io::Result<()> {
        let facts = fs::symlink_metadata(path)?;
        if facts.is_dir() {
            fs::read_dir(path)?.try_for_each(|entry| self.path(&entry?.path()))
        } else if facts.is_file() {
            self.file(File::open(path)?)
        } else {
            Ok(())
        }
    }

    fn file(&mut self, mut file: File) -> io::Result<()> {
        let mut scanner = Scanner::new(self.set);
        let hits = &mut self.hits;
        let mut count = |_: Hit| *hits += 1;
        loop {
            let length = file.read(&mut self.piece)?;
            if length == 0 {
                scanner.finish(&mut count);
                return Ok(());
            }
            self.bytes += length as u64;
            scanner.feed(&self.piece[..length], &mut count);
        }
    }

    /// Splitmix64 (Steele and others, "Fast splittable pseudorandom number generators", 2014).
    fn random(&mut self, time: Duration) {
        let mut scanner = Scanner::new(self.set);
        let hits = &mut self.hits;
        let mut count = |_: Hit| *hits += 1;
        let (begin, mut state) = (Instant::now(), 0x5eed_u64);
        while begin.elapsed() < time {
            for eight in self.piece.as_chunks_mut::<8>().0 {
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                *eight = (mixed ^ (mixed >> 31)).to_le_bytes();
            }
            self.bytes += self.piece.len() as u64;
            scanner.feed(&self.piece, &mut count);
        }
        scanner.finish(&mut count);
    }
}
