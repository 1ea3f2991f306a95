//! Names of addresses, as `/etc/hosts` has them.

use std::{fs::File, io::Read, net::IpAddr};

/// The file.
const FILE: &str = "/etc/hosts";

/// Most bytes of it that are read: lists of what is to be blocked can be long.
const MOST: u64 = 1 << 20;

/// Longest name that is told.
const LONGEST: usize = 253;

/// What it holds, from its beginning.
pub(super) fn read() -> Option<String> {
    let mut bytes = Vec::new();
    File::open(FILE).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first name of an address in a text like that file's.
pub(super) fn name_of(address: IpAddr, text: &str) -> Option<String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let names = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let own = words.next()?.parse::<IpAddr>().ok()?.to_canonical() == address;
        words.next().filter(|_| own)
    });
    names.into_iter().next().filter(|name| name.len() <= LONGEST).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_an_address_counts() {
        let text = "127.0.0.1 localhost\n# 192.0.2.1 not\n192.0.2.1\tmirror.invalid mirror # here\n192.0.2.1 other\n192.0.2.2\n";
        let name = |address: &str| name_of(address.parse().unwrap(), text);
        assert_eq!(name("192.0.2.1").as_deref(), Some("mirror.invalid"));
        assert_eq!((name("192.0.2.2"), name("192.0.2.3")), (None, None));
    }
}
