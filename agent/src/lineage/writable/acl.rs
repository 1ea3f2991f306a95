//! Whether a POSIX access list lets somebody write a file.

use super::{Account, in_group};
use crate::posture::acl::{self, Whom};

const WRITE: u32 = 2;

/// Does an entry for a named user or group let `account` write? What cannot be read does.
pub(super) fn grants_write(list: &[u8], account: &Account) -> bool {
    if list.is_empty() {
        return false;
    }
    let Some(list) = acl::parse(list) else { return true };
    list.grants.iter().any(|grant| {
        let named = match grant.whom {
            Whom::User(user) if account.uid == 0 => user != 0,
            Whom::User(user) => user == account.uid,
            Whom::Group(group) => in_group(account, group),
        };
        named && grant.rights & WRITE != 0
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;
    pub(in super::super) use crate::posture::acl::tests::list;
    use crate::posture::acl::{GROUP, MASK, USER};

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
