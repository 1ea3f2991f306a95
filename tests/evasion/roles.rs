//! Parts that this program plays in processes of their own.

use std::{ffi::OsString, fs, io::Read, path::Path};

use crate::{
    place::{self, got, take},
    stop::{At, Outcome, fail},
    sys::owned,
    victim,
};

pub(crate) fn play(role: &[&str]) -> Outcome {
    match *role {
        ["wait"] => std::io::stdin().read_to_end(&mut Vec::new()).at("wait for the end of the input").map(drop),
        ["victim", store] => victim::play(Path::new(store)),
        ["read", store] => take(Path::new(store)),
        ["read-fd", number] => read_fd(number),
        ["map-fd", number] => map_fd(number),
        ["delete-and-read", store] => {
            fs::remove_file(std::env::current_exe().at("find this program")?).at("remove this program")?;
            take(Path::new(store))
        }
        _ => fail(format!("there is no role {:?}", role.iter().map(OsString::from).collect::<Vec<_>>())),
    }
}

fn read_fd(number: &str) -> Outcome {
    let Ok(number) = number.parse() else { return fail("no number") };
    got(&place::read(owned(number))?)
}

fn map_fd(number: &str) -> Outcome {
    let Ok(number) = number.parse() else { return fail("no number") };
    let fd = owned(number);
    let map = crate::calls::Map::new(&fd, false)?;
    got(map.bytes())
}
