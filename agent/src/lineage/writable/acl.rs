//! POSIX access lists as `system.posix_acl_access` holds them: a version, then entries of (tag, permissions, id), little
//! endian.

use super::{Account, in_group};

const VERSION: u32 = 2;
const USER: u16 = 0x02;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const WRITE: u16 = 2;

struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

/// Does an entry for a named user or group let `account` write? What cannot be read does.
pub(super) fn grants_write(list: &[u8], account: &Account) -> bool {
    if list.is_empty() {
        return false;
    }
    let Some(entries) = parse(list) else { return true };
    let mask = entries.iter().find(|entry| entry.tag == MASK).map_or(u16::MAX, |entry| entry.permissions);
    entries.iter().any(|entry| {
        let named = match entry.tag {
            USER if account.uid == 0 => entry.id != 0,
            USER => entry.id == account.uid,
            GROUP => in_group(account, entry.id),
            _ => false,
        };
        named && entry.permissions & mask & WRITE != 0
    })
}

fn parse(list: &[u8]) -> Option<Vec<Entry>> {
    let (version, rest) = list.split_first_chunk::<4>()?;
    let (entries, left) = rest.as_chunks::<8>();
    if u32::from_le_bytes(*version) != VERSION || !left.is_empty() {
        return None;
    }
    let entry = |bytes: &[u8; 8]| {
        let [a, b, c, d, e, f, g, h] = *bytes;
        Entry {
            tag: u16::from_le_bytes([a, b]),
            permissions: u16::from_le_bytes([c, d]),
            id: u32::from_le_bytes([e, f, g, h]),
        }
    };
    Some(entries.iter().map(entry).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    pub(in super::super) fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn named_entries() {
        let user = Account { uid: 1000, gids: BTreeSet::from([50]) };
        let root = Account { uid: 0, gids: BTreeSet::from([0]) };
        let none = u32::MAX;
        for (entries, want_user, want_root) in [
            (vec![(1, 6, none), (4, 4, none), (0x20, 4, none)], false, false),
            (vec![(USER, 6, 1000), (MASK, 7, none)], true, true),
            (vec![(USER, 6, 1000), (MASK, 5, none)], false, false),
            (vec![(USER, 5, 1000), (MASK, 7, none)], false, false),
            (vec![(USER, 7, 1001), (MASK, 7, none)], false, true),
            (vec![(USER, 7, 0), (GROUP, 7, 0), (MASK, 7, none)], false, false),
            (vec![(GROUP, 7, 50), (MASK, 7, none)], true, true),
            (vec![(GROUP, 7, 51), (MASK, 7, none)], false, true),
        ] {
            let bytes = list(&entries);
            assert_eq!(grants_write(&bytes, &user), want_user, "{entries:?}");
            assert_eq!(grants_write(&bytes, &root), want_root, "{entries:?}");
        }
        assert!(!grants_write(&[], &user));
        for broken in [&[2, 0][..], &[3, 0, 0, 0], &[2, 0, 0, 0, 1]] {
            assert!(grants_write(broken, &user), "{broken:?}");
        }
    }
}
