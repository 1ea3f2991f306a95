//! Reads a database of bbolt (`go.etcd.io/bbolt`, its `page.go`, `meta.go` and `bucket.go`) while its owner may write: containerd
//! keeps the names of images in one. Bounded and total. Numbers are little endian here, as on the machines that wrote them.
//!
//! Pages are never changed in place: a transaction writes others, and then one of two metas that leads to them. What a reader
//! without a lock has read is good if no later transaction ended meanwhile, since only then can its pages have been given away.

use std::{collections::BTreeMap, io};

/// Most bytes of pages and of entries in one reading: users can write the databases of their own engines.
const BYTES: usize = 64 << 20;
/// Largest page with what overflows, in bytes.
const PAGE_BYTES: usize = 1 << 20;
/// Deepest tree.
const DEPTH: usize = 16;
/// How often it is tried while somebody writes.
const TRIES: usize = 4;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
/// Bytes before the elements of a page, and of an element of either kind.
const HEAD: usize = 16;
const ELEMENT: usize = 16;
/// `bucketLeafFlag`
const BUCKET: u32 = 1;

/// Fills a buffer with what stands at a place of the file, or fails.
pub type ReadAt<'r> = &'r dyn Fn(&mut [u8], u64) -> io::Result<()>;

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum BoltError {
    /// The file cannot be read.
    #[error("read the database: {0}")]
    Read(#[from] io::Error),
    /// It is none, or broken.
    #[error("it is no database of bbolt, or a broken one")]
    Broken,
    /// A bound.
    #[error("the database is too large")]
    TooLarge,
    /// Its owner wrote all the time.
    #[error("the database was written while it was read")]
    Busy,
}

/// What a key leads to.
enum Entry {
    Value(Vec<u8>),
    Bucket(Bucket),
}

/// Where a bucket is.
#[derive(Clone)]
enum Bucket {
    /// Its first page.
    Page(u64),
    /// So small that it stands in its parent.
    Inline(Vec<u8>),
}

/// The names of images by the digests of what they lead to: `v1/NAMESPACE/images/NAME/target/digest` (containerd's
/// `metadata/buckets.go`).
///
/// # Errors
/// When the file cannot be read whole, or is no such database.
pub fn images(read_at: ReadAt<'_>) -> Result<BTreeMap<String, Vec<String>>, BoltError> {
    for _ in 0..TRIES {
        let meta = Meta::latest(read_at)?;
        let mut reader = Reader { read_at, page_size: meta.page_size, left: BYTES };
        let read = reader.images(meta.root);
        if Meta::latest(read_at)?.transaction == meta.transaction {
            return read;
        }
    }
    Err(BoltError::Busy)
}

struct Meta {
    page_size: usize,
    root: u64,
    transaction: u64,
}

impl Meta {
    fn latest(read_at: ReadAt<'_>) -> Result<Self, BoltError> {
        let mut first = [0; HEAD + 64];
        read_at(&mut first, 0)?;
        let one = Self::parse(&first);
        // The second lies one page later; where the first is broken, its size is the usual one.
        let size = one.as_ref().map_or(4096, |meta| meta.page_size);
        let mut second = [0; HEAD + 64];
        let two = read_at(&mut second, size as u64).ok().and_then(|()| Self::parse(&second));
        one.into_iter().chain(two).max_by_key(|meta| meta.transaction).ok_or(BoltError::Broken)
    }

    fn parse(page: &[u8]) -> Option<Self> {
        let meta = page.get(HEAD..HEAD + 64)?;
        // FNV-1a of what stands before it.
        let sum = meta
            .get(..56)?
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        let page_size = u32_at(meta, 8)? as usize;
        let sound = u32_at(meta, 0)? == MAGIC && u32_at(meta, 4)? == VERSION && u64_at(meta, 56)? == sum;
        let usual = page_size.is_power_of_two() && (512..=65_536).contains(&page_size);
        (sound && usual).then_some(Self { page_size, root: u64_at(meta, 16)?, transaction: u64_at(meta, 48)? })
    }
}

struct Reader<'r> {
    read_at: ReadAt<'r>,
    page_size: usize,
    /// What is left of [`BYTES`].
    left: usize,
}

impl Reader<'_> {
    fn images(&mut self, root: u64) -> Result<BTreeMap<String, Vec<String>>, BoltError> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let Some(version) = self.bucket(&Bucket::Page(root), b"v1")? else { return Ok(found) };
        for (_, space) in self.entries(&version)? {
            let Entry::Bucket(space) = space else { continue };
            let Some(images) = self.bucket(&space, b"images")? else { continue };
            for (name, image) in self.entries(&images)? {
                let Entry::Bucket(image) = image else { continue };
                let Some(target) = self.bucket(&image, b"target")? else { continue };
                let digest = self.entries(&target)?.into_iter().find_map(|(key, value)| match value {
                    Entry::Value(value) if key == b"digest" => String::from_utf8(value).ok(),
                    _ => None,
                });
                let (Some(digest), Ok(name)) = (digest, String::from_utf8(name)) else { continue };
                found.entry(digest).or_default().push(name);
            }
        }
        Ok(found)
    }

    fn bucket(&mut self, of: &Bucket, name: &[u8]) -> Result<Option<Bucket>, BoltError> {
        let found = self.entries(of)?.into_iter().find_map(|(key, entry)| match entry {
            Entry::Bucket(bucket) if key == name => Some(bucket),
            _ => None,
        });
        Ok(found)
    }

    /// All of a bucket, in the order of its keys.
    fn entries(&mut self, bucket: &Bucket) -> Result<Vec<(Vec<u8>, Entry)>, BoltError> {
        let mut all = Vec::new();
        match bucket {
            Bucket::Inline(page) => self.leaf(page, &mut all)?,
            Bucket::Page(page) => self.walk(*page, DEPTH, &mut all)?,
        }
        Ok(all)
    }

    fn walk(&mut self, number: u64, depth: usize, all: &mut Vec<(Vec<u8>, Entry)>) -> Result<(), BoltError> {
        let page = self.page(number)?;
        match u16_at(&page, 8) {
            Some(LEAF) => self.leaf(&page, all),
            Some(BRANCH) if depth > 0 => {
                let children = branch(&page).ok_or(BoltError::Broken)?;
                children.into_iter().try_for_each(|child| self.walk(child, depth - 1, all))
            }
            _ => Err(BoltError::Broken),
        }
    }

    fn spend(&mut self, bytes: usize) -> Result<(), BoltError> {
        self.left = self.left.checked_sub(bytes).ok_or(BoltError::TooLarge)?;
        Ok(())
    }

    /// The entries of a leaf; those of a broken one may lie over each other.
    fn leaf(&mut self, page: &[u8], all: &mut Vec<(Vec<u8>, Entry)>) -> Result<(), BoltError> {
        if u16_at(page, 8) != Some(LEAF) {
            return Err(BoltError::Broken);
        }
        for number in 0..usize::from(u16_at(page, 10).unwrap_or(0)) {
            let (key, value, is_bucket) = element(page, number).ok_or(BoltError::Broken)?;
            self.spend(key.len() + value.len() + ELEMENT)?;
            let entry =
                if is_bucket { bucket_in(value).map(Entry::Bucket) } else { Some(Entry::Value(value.to_vec())) };
            all.push((key.to_vec(), entry.ok_or(BoltError::Broken)?));
        }
        Ok(())
    }

    fn page(&mut self, number: u64) -> Result<Vec<u8>, BoltError> {
        self.spend(self.page_size)?;
        let at = number.checked_mul(self.page_size as u64).ok_or(BoltError::Broken)?;
        let mut page = vec![0; self.page_size];
        (self.read_at)(&mut page, at)?;
        if u64_at(&page, 0) != Some(number) {
            return Err(BoltError::Broken);
        }
        let more = u32_at(&page, 12).unwrap_or(0) as usize;
        let whole = more.checked_add(1).and_then(|pages| pages.checked_mul(self.page_size));
        let whole = whole.filter(|bytes| *bytes <= PAGE_BYTES).ok_or(BoltError::TooLarge)?;
        if whole > page.len() {
            self.spend(whole)?;
            page.resize(whole, 0);
            (self.read_at)(&mut page, at)?;
        }
        Ok(page)
    }
}

/// The pages below a branch.
fn branch(page: &[u8]) -> Option<Vec<u64>> {
    (0..usize::from(u16_at(page, 10)?)).map(|number| u64_at(page, HEAD + number * ELEMENT + 8)).collect()
}

/// Key and value of an entry, and whether it is a bucket.
fn element(page: &[u8], number: usize) -> Option<(&[u8], &[u8], bool)> {
    let at = HEAD + number * ELEMENT;
    let field = |offset: usize| u32_at(page, at + offset);
    let start = at.checked_add(field(4)? as usize)?;
    let (key, rest) = page.get(start..)?.split_at_checked(field(8)? as usize)?;
    Some((key, rest.get(..field(12)? as usize)?, field(0)? & BUCKET != 0))
}

fn bucket_in(value: &[u8]) -> Option<Bucket> {
    Some(match u64_at(value, 0)? {
        0 => Bucket::Inline(value.get(16..)?.to_vec()),
        page => Bucket::Page(page),
    })
}

fn bytes<const N: usize>(page: &[u8], at: usize) -> Option<[u8; N]> {
    page.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(page: &[u8], at: usize) -> Option<u16> {
    bytes(page, at).map(u16::from_le_bytes)
}

fn u32_at(page: &[u8], at: usize) -> Option<u32> {
    bytes(page, at).map(u32::from_le_bytes)
}

fn u64_at(page: &[u8], at: usize) -> Option<u64> {
    bytes(page, at).map(u64::from_le_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const SIZE: usize = 4096;

    /// A leaf as bbolt writes it: whether each is a bucket, its key and its value.
    fn leaf_page(number: u64, items: &[(bool, &[u8], Vec<u8>)]) -> Vec<u8> {
        let mut page =
            [&number.to_le_bytes()[..], &LEAF.to_le_bytes(), &(items.len() as u16).to_le_bytes(), &[0; 4]].concat();
        let mut at = items.len() * ELEMENT;
        for (index, (bucket, key, value)) in items.iter().enumerate() {
            let from = (at - index * ELEMENT) as u32;
            for field in [u32::from(*bucket), from, key.len() as u32, value.len() as u32] {
                page.extend(field.to_le_bytes());
            }
            at += key.len() + value.len();
        }
        items.iter().for_each(|(_, key, value)| page.extend([*key, value].concat()));
        page
    }

    fn at_page(number: u64) -> Vec<u8> {
        [number.to_le_bytes(), [0; 8]].concat()
    }

    fn meta(number: u64, transaction: u64) -> Vec<u8> {
        let mut meta = [MAGIC, VERSION, SIZE as u32, 0].map(u32::to_le_bytes).concat();
        // Root at page 3; what is free, and how many pages there are, is not asked for.
        [3, 0, 2, 8, transaction].iter().for_each(|value: &u64| meta.extend(value.to_le_bytes()));
        let sum = meta
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        meta.extend(sum.to_le_bytes());
        [&number.to_le_bytes()[..], &[4, 0, 0, 0, 0, 0, 0, 0], &meta].concat()
    }

    /// A database with one image in one namespace.
    pub(crate) fn database(name: &str, digest: &str) -> Vec<u8> {
        let inline = leaf_page(0, &[(false, b"digest", digest.into()), (false, b"size", vec![2])]);
        let branch = {
            let head = [&7_u64.to_le_bytes()[..], &BRANCH.to_le_bytes(), &1_u16.to_le_bytes(), &[0; 4]].concat();
            [
                head,
                16_u32.to_le_bytes().to_vec(),
                1_u32.to_le_bytes().to_vec(),
                6_u64.to_le_bytes().to_vec(),
                b"a".to_vec(),
            ]
            .concat()
        };
        let pages = [
            meta(0, 4),
            meta(1, 5),
            Vec::new(),
            leaf_page(3, &[(true, b"v1", at_page(4))]),
            leaf_page(4, &[(true, b"default", at_page(5)), (false, b"version", vec![3])]),
            leaf_page(5, &[(true, b"images", at_page(7))]),
            leaf_page(6, &[(true, name.as_bytes(), at_page(8))]),
            branch,
            leaf_page(8, &[(true, b"target", [vec![0; 16], inline].concat())]),
        ];
        let padded = |mut page: Vec<u8>| {
            page.resize(SIZE, 0);
            page
        };
        pages.into_iter().flat_map(padded).collect()
    }

    fn read(bytes: &[u8]) -> Result<BTreeMap<String, Vec<String>>, BoltError> {
        images(&|buffer, at| {
            let from = usize::try_from(at).map_err(io::Error::other)?;
            let part = bytes.get(from..).and_then(|rest| rest.get(..buffer.len()));
            buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    #[test]
    fn names_are_found_by_digest() {
        let found = read(&database("docker.io/library/app:1", "sha256:m")).unwrap();
        assert_eq!(found, BTreeMap::from([("sha256:m".to_owned(), vec!["docker.io/library/app:1".to_owned()])]));
        // The newer meta is broken: the older leads to the same.
        let mut broken = database("a", "sha256:m");
        broken[SIZE + HEAD + 20] ^= 1;
        assert!(read(&broken).is_ok_and(|found| found.len() == 1));
    }

    #[test]
    fn what_is_broken_is_an_error_and_no_more() {
        let whole = database("a", "sha256:m");
        assert!(matches!(read(b"no database"), Err(BoltError::Read(_))));
        assert!(matches!(read(&vec![0; 2 * SIZE]), Err(BoltError::Broken)));
        for end in (0..whole.len()).step_by(97) {
            let _ = read(&whole[..end]);
        }
        for at in 0..whole.len() {
            // Only where there is something.
            if whole[at] != 0 {
                let mut broken = whole.clone();
                broken[at] ^= 0xff;
                let _ = read(&broken);
            }
        }
        // A leaf whose thousands of entries are all the same half of a page.
        let mut heavy = whole.clone();
        heavy.truncate(3 * SIZE);
        let pages = 255_u32;
        let mut leaf =
            [&3_u64.to_le_bytes()[..], &LEAF.to_le_bytes(), &60_000_u16.to_le_bytes(), &pages.to_le_bytes()].concat();
        for number in 0..60_000 {
            let from = (1 << 20) - 2048 - (HEAD as u32 + number * ELEMENT as u32);
            [0, from, 1024, 1024].iter().for_each(|field: &u32| leaf.extend(field.to_le_bytes()));
        }
        leaf.resize(SIZE * (pages as usize + 1), 0);
        heavy.extend(leaf);
        assert!(matches!(read(&heavy), Err(BoltError::TooLarge)));
        // A page that leads to itself.
        let mut round = whole;
        round[7 * SIZE + HEAD + 8..][..8].copy_from_slice(&7_u64.to_le_bytes());
        assert!(matches!(read(&round), Err(BoltError::Broken)));
    }
}
