//! What lies at a path that a process's variables name, and how a program is linked. Asked for readers with such
//! variables only.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use object::{
    Endianness, FileKind,
    elf::{DT_NEEDED, FileHeader32, FileHeader64, PT_INTERP},
    read::elf::{Dyn, FileHeader, ProgramHeader},
    read::{ReadCache, ReadRef},
};

use super::{Account, Writables, writable_by};
use crate::lineage::{
    loaded::{Kind, Linkage, Place},
    model::{Chain, Executable, Process, Writable},
    users::Users,
};

/// Most libraries that are remembered of a program.
const NEEDED: usize = 16;

impl Writables {
    /// What lies at `path` for the first process of a chain.
    #[must_use]
    pub fn place(&self, chain: &Chain, path: &Path, users: &Users) -> Place {
        let Some(process) = chain.processes.first() else { return Place::default() };
        if !path.is_absolute() {
            return Place::default();
        }
        let Some(root) = self.root_of(process, &chain.processes) else { return Place::default() };
        let mut answer = writable_by(&root, path, &account(process, users));
        // The last links below another root lead out of it; what they lead to there is not known.
        let below = root.join(path.strip_prefix("/").unwrap_or(path));
        let metadata = if root == Path::new("/") {
            answer.place = fs::canonicalize(&below).ok().or(answer.place);
            fs::metadata(&below)
        } else {
            fs::symlink_metadata(&below)
        };
        match metadata {
            Ok(metadata) => Place {
                writable: answer.writable,
                resolved: answer.place,
                kind: if metadata.is_dir() { Kind::Directory } else { Kind::File },
                changed: Some(metadata.ctime()),
            },
            Err(error) => Place {
                writable: answer.writable,
                resolved: answer.place,
                kind: if error.kind() == io::ErrorKind::NotFound { Kind::Missing } else { Kind::Unknown },
                changed: None,
            },
        }
    }

    /// How the program of the first process of a chain is linked, if the file is still the one that was started.
    #[must_use]
    pub fn linkage(&self, chain: &Chain) -> Linkage {
        let Some(process) = chain.processes.first() else { return Linkage::Unknown };
        let Some(root) = self.root_of(process, &chain.processes) else { return Linkage::Unknown };
        read_linkage(&root, &process.executable).unwrap_or_default()
    }
}

pub(super) fn account(process: &Process, users: &Users) -> Account {
    let mut gids = users.groups(process.uid);
    gids.insert(process.gid);
    Account { uid: process.uid, gids }
}

fn read_linkage(root: &Path, executable: &Executable) -> Option<Linkage> {
    if executable.path_truncated || executable.writable == Writable::Yes && executable.links == 0 {
        return None;
    }
    let file = File::open(root.join(executable.path.strip_prefix("/").ok()?)).ok()?;
    let metadata = file.metadata().ok()?;
    if metadata.ino() != executable.id.inode || !metadata.is_file() {
        return None;
    }
    let mut magic = [0; 16];
    (&file).read_exact(&mut magic).ok()?;
    let data = ReadCache::new(file);
    match FileKind::parse(magic.as_slice()) {
        Ok(FileKind::Elf64) => parse::<FileHeader64<Endianness>, _>(&data),
        Ok(FileKind::Elf32) => parse::<FileHeader32<Endianness>, _>(&data),
        _ => None,
    }
}

fn parse<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(data: R) -> Option<Linkage> {
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    if !segments.iter().any(|segment| segment.p_type(endian) == PT_INTERP) {
        return Some(Linkage::Static);
    }
    let needed = needed::<Elf, R>(header, endian, data).unwrap_or_default();
    Some(Linkage::Dynamic(needed))
}

fn needed<'d, Elf: FileHeader<Endian = Endianness>, R: ReadRef<'d>>(
    header: &Elf,
    endian: Endianness,
    data: R,
) -> Option<Vec<String>> {
    let sections = header.sections(endian, data).ok()?;
    let (dynamic, strings) = sections.dynamic(endian, data).ok()??;
    let strings = sections.strings(endian, data, strings).ok()?;
    let libraries = dynamic.iter().filter(|entry| entry.tag(endian) == DT_NEEDED).filter_map(|entry| {
        let name = strings.get(u32::try_from(entry.val(endian)).ok()?).ok()?;
        Some(String::from_utf8_lossy(name).into_owned())
    });
    Some(libraries.take(NEEDED).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tokenhound_common::record::FileId;

    use super::*;

    fn chain() -> Chain {
        let mut process = crate::lineage::writable::tests::process("/usr/bin/true", 0);
        let own = fs::metadata("/proc/self/ns/mnt").unwrap().ino();
        process.mount_namespace = u32::try_from(own).unwrap();
        Chain { processes: vec![process], incomplete: false }
    }

    #[test]
    fn links_are_followed_and_what_is_not_there_is_said_to_be_missing() {
        let (writables, users) = (Writables::new(1), Users::load().unwrap());
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap();
        fs::write(root.join("x.so"), "x").unwrap();
        std::os::unix::fs::symlink(root.join("x.so"), root.join("link.so")).unwrap();
        let ask = |path: &Path| writables.place(&chain(), path, &users);
        let file = ask(&root.join("link.so"));
        assert_eq!((file.kind, file.resolved.as_deref()), (Kind::File, Some(root.join("x.so").as_path())));
        assert!(file.changed.is_some_and(|changed| changed > 1_700_000_000));
        assert_eq!(ask(&root).kind, Kind::Directory);
        assert_eq!(ask(&root.join("gone/x.so")).kind, Kind::Missing);
        assert_eq!(ask(Path::new("x.so")), Place::default(), "nobody knows from where");
        let mut elsewhere = chain();
        elsewhere.processes[0].mount_namespace = 1;
        assert_eq!(writables.place(&elsewhere, &root, &users), Place::default());
    }

    fn executable(path: &Path) -> Executable {
        Executable {
            path: path.to_owned(),
            path_truncated: false,
            id: FileId { inode: fs::metadata(path).map_or(0, |it| it.ino()), device: 0, generation: 0 },
            uid: 0,
            mode: 0o100_755,
            links: 1,
            writable: Writable::No,
        }
    }

    #[test]
    fn a_program_names_its_libraries_and_a_script_has_none() {
        let own = fs::canonicalize("/proc/self/exe").unwrap();
        let Some(Linkage::Dynamic(needed)) = read_linkage(Path::new("/"), &executable(&own)) else {
            panic!("this test is linked dynamically")
        };
        assert!(needed.iter().any(|name| name.starts_with("libc.so")), "{needed:?}");
        let directory = tempfile::tempdir().unwrap();
        for text in [b"#!/bin/sh\n# long enough".as_slice(), b"\x7fELF", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"] {
            let script = directory.path().join("script");
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(read_linkage(Path::new("/"), &executable(&script)), None);
        }
        let mut other = executable(&own);
        other.id.inode += 1;
        assert_eq!(read_linkage(Path::new("/"), &other), None, "another file has taken the name");
    }
}
