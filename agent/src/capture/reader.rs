//! Reads captures, frame by frame. Total: any bytes give entries or an error that names the place, never a panic.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

use super::{
    CaptureError, FORMAT, FRAME_HEAD, MAGIC, MAX_FRAME,
    entry::{Answer, InputEntry},
    header::Header,
    kind,
};
use crate::ingest::sequence::Ring;

/// One entry.
#[derive(Debug)]
pub enum Entry<'a> {
    /// A record, as the kernel wrote it but for its secrets.
    Record(Ring, &'a [u8]),
    /// An input that is no record.
    Input(InputEntry),
    /// An answer to the input that follows.
    Answer(Answer),
    /// So many entries could not be written here.
    Gap(u64),
    /// The recording was ended in order.
    End,
}

/// A capture that is being read.
pub struct Reader<R> {
    path: PathBuf,
    from: R,
    /// Where the next frame begins.
    offset: u64,
    buffer: Vec<u8>,
    header: Header,
}

impl Reader<BufReader<File>> {
    /// Opens a file and reads its head.
    ///
    /// # Errors
    /// When it cannot be opened, or is no capture that this agent reads.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = File::open(path).map_err(|source| CaptureError::Open { path: path.to_owned(), source })?;
        Self::new(path, BufReader::with_capacity(256 << 10, file))
    }
}

impl<R: Read> Reader<R> {
    /// Reads the head of a capture; `path` is what errors call it.
    ///
    /// # Errors
    /// When it is no capture that this agent reads.
    pub fn new(path: &Path, from: R) -> Result<Self, CaptureError> {
        let mut reader = Self { path: path.to_owned(), from, offset: 0, buffer: Vec::new(), header: Header::default() };
        let not_one = || CaptureError::Magic { path: path.to_owned() };
        let mut magic = [0; MAGIC.len()];
        if reader.fill(&mut magic)? < magic.len() || magic != MAGIC {
            return Err(not_one());
        }
        let mut format = [0; 2];
        if reader.fill(&mut format)? < format.len() {
            return Err(CaptureError::CutOff { path: path.to_owned(), offset: 0 });
        }
        let found = u16::from_le_bytes(format);
        if found != FORMAT {
            return Err(CaptureError::Format { path: path.to_owned(), found });
        }
        reader.offset = (magic.len() + format.len()) as u64;
        let Some(kind) = reader.frame()? else { return Err(reader.cut_off()) };
        if kind != kind::HEADER {
            return Err(reader.damaged("the head is missing"));
        }
        reader.header = reader.content()?;
        if let Some(what) = reader.header.unreadable() {
            return Err(CaptureError::Wire { path: path.to_owned(), agent: reader.header.agent.clone(), what });
        }
        reader.advance();
        Ok(reader)
    }

    /// The head.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next entry; `None` where the file ends between two entries.
    ///
    /// # Errors
    /// When the file ends within an entry, cannot be read, or does not hold what was written. Nothing can be read after
    /// that.
    pub fn entry(&mut self) -> Result<Option<Entry<'_>>, CaptureError> {
        let Some(kind) = self.frame()? else { return Ok(None) };
        let entry = match kind {
            kind::LIFE | kind::HITS | kind::TRAIL => None,
            kind::INPUT => Some(Entry::Input(self.content()?)),
            kind::ANSWER => Some(Entry::Answer(self.content()?)),
            kind::GAP => Some(Entry::Gap(self.content()?)),
            kind::END => Some(Entry::End),
            other => return Err(self.damaged(&format!("an entry of kind {other}, which this agent does not know"))),
        };
        self.advance();
        let ring = match kind {
            kind::LIFE => Ring::Life,
            kind::TRAIL => Ring::Trail,
            _ => Ring::Hits,
        };
        Ok(Some(entry.unwrap_or_else(|| Entry::Record(ring, self.buffer.get(1..).unwrap_or_default()))))
    }

    /// What errors call the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next entry begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn damaged(&self, what: &str) -> CaptureError {
        CaptureError::Damaged { path: self.path.clone(), offset: self.offset, what: what.to_owned() }
    }

    fn cut_off(&self) -> CaptureError {
        CaptureError::CutOff { path: self.path.clone(), offset: self.offset }
    }

    fn advance(&mut self) {
        self.offset += (FRAME_HEAD + self.buffer.len()) as u64;
    }

    /// Reads the next frame into the buffer and returns its kind; `None` at the end of the file.
    fn frame(&mut self) -> Result<Option<u8>, CaptureError> {
        let mut head = [0; FRAME_HEAD];
        match self.fill(&mut head)? {
            0 => return Ok(None),
            FRAME_HEAD => {}
            _ => return Err(self.cut_off()),
        }
        let [a, b, c, d, e, f, g, h] = head;
        let (length, check) = (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]));
        if length == 0 || length > MAX_FRAME {
            return Err(self.damaged(&format!("an entry of {length} bytes, of 1 to {MAX_FRAME} possible ones")));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(length, 0);
        let read = self.fill(&mut buffer);
        self.buffer = buffer;
        if read? < length {
            return Err(self.cut_off());
        }
        if crc32fast::hash(&self.buffer) != check {
            return Err(self.damaged("its checksum is wrong"));
        }
        Ok(self.buffer.first().copied())
    }

    /// What the frame in the buffer holds.
    fn content<T: DeserializeOwned>(&self) -> Result<T, CaptureError> {
        match postcard::take_from_bytes(self.buffer.get(1..).unwrap_or_default()) {
            Ok((content, [])) => Ok(content),
            Ok((_, rest)) => Err(self.damaged(&format!("{} bytes too many", rest.len()))),
            Err(error) => Err(self.damaged(&error.to_string())),
        }
    }

    /// Reads until `bytes` is full or the file ends, and returns how many there were.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<usize, CaptureError> {
        let mut read = 0;
        while read < bytes.len() {
            match self.from.read(&mut bytes[read..]) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(CaptureError::Read { path: self.path.clone(), offset: self.offset, source });
                }
            }
        }
        Ok(read)
    }
}
