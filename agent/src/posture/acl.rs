//! POSIX access control lists, as the attribute `system.posix_acl_access` holds them.

use std::fmt;

/// Largest list that is looked at, in bytes. ext4 keeps at most one block.
pub const MAX_BYTES: usize = 65_536;

/// The attribute.
pub const ATTRIBUTE: &str = "system.posix_acl_access";

/// `POSIX_ACL_XATTR_VERSION` and the tags of `include/uapi/linux/posix_acl.h`.
const VERSION: u32 = 2;
pub(crate) const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
pub(crate) const GROUP: u16 = 0x08;
pub(crate) const MASK: u16 = 0x10;

/// Somebody whom a list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whom.
    pub whom: Whom,
    /// What they may in the end: 4 read, 2 write.
    pub rights: u32,
}

/// A user or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// A user.
    User(u32),
    /// A group.
    Group(u32),
}

/// What a list says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acl {
    /// Those it names, with what the mask leaves of their rights.
    pub grants: Vec<Grant>,
    /// What the mask leaves of the owning group's rights.
    pub group: Option<u32>,
}

impl Grant {
    /// Does it let in somebody who is not the owner, and not root?
    #[must_use]
    pub fn beyond(&self, uid: u32, gid: u32) -> bool {
        let other = match self.whom {
            Whom::User(user) => user != uid && user != 0,
            Whom::Group(group) => group != gid && group != 0,
        };
        other && self.rights & 0o6 != 0
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, id) = match self.whom {
            Whom::User(id) => ("user", id),
            Whom::Group(id) => ("group", id),
        };
        let read = if self.rights & 0o4 != 0 { "r" } else { "-" };
        let write = if self.rights & 0o2 != 0 { "w" } else { "-" };
        write!(f, "{what} {id} ({read}{write})")
    }
}

/// Reads a list. `None` when it is of another version or cut off.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Acl> {
    let (version, entries) = bytes.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION || entries.len() % 8 != 0 {
        return None;
    }
    let entries: Vec<(u16, u32, u32)> = entries
        .as_chunks::<8>()
        .0
        .iter()
        .map(|[a, b, c, d, e, f, g, h]| {
            let rights = u32::from(u16::from_le_bytes([*c, *d]));
            (u16::from_le_bytes([*a, *b]), rights, u32::from_le_bytes([*e, *f, *g, *h]))
        })
        .collect();
    let of = |wanted: u16| entries.iter().find(|(tag, ..)| *tag == wanted).map(|(_, rights, _)| *rights);
    let mask = of(MASK).unwrap_or(0o7);
    let grants = entries.iter().filter_map(|(tag, rights, id)| {
        let whom = match *tag {
            USER => Whom::User(*id),
            GROUP => Whom::Group(*id),
            _ => return None,
        };
        Some(Grant { whom, rights: rights & mask })
    });
    Some(Acl { grants: grants.collect(), group: of(GROUP_OBJ).map(|rights| rights & mask) })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for (tag, rights, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(rights.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn the_mask_counts() {
        let open = list(&[(1, 6, !0), (USER, 6, 1001), (GROUP_OBJ, 4, !0), (MASK, 4, !0), (0x20, 0, !0)]);
        let acl = parse(&open).unwrap();
        assert_eq!(acl.grants, [Grant { whom: Whom::User(1001), rights: 4 }]);
        assert_eq!(acl.group, Some(4));
        assert!(acl.grants[0].beyond(1000, 1000) && !acl.grants[0].beyond(1001, 1000));
        let closed = list(&[(USER, 6, 1001), (GROUP_OBJ, 4, !0), (MASK, 0, !0)]);
        assert!(!parse(&closed).unwrap().grants[0].beyond(1000, 1000));
    }

    #[test]
    fn what_is_no_list_is_none() {
        for bytes in [&b""[..], &[2, 0, 0], &[1, 0, 0, 0], &[2, 0, 0, 0, 1]] {
            assert_eq!(parse(bytes), None, "{bytes:?}");
        }
    }
}
