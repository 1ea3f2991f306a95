//! What engines keep that is neither an image nor a container: snapshots of the cache of builds, and volumes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    engine,
    looker::{Ended, Looker, SETTLE, below},
};
use crate::{
    container::{
        facts::lookup::Places,
        images::{Kind, Spot, docker, scan},
        model::{Found, Image, Place},
    },
    token::scan::NeedleSet,
};

/// What is known of those of an engine.
#[derive(Default)]
pub(super) struct Known {
    all: BTreeMap<(Kind, String), Seen>,
    changed: Option<SystemTime>,
    /// Something is to be looked at that was not ready.
    waiting: bool,
}

/// How far one was looked through.
struct Seen {
    /// When it was given to a step of a build last, by then.
    changed: SystemTime,
    /// Files that were changed from then on are not looked at yet (seconds since 1970).
    from: i64,
    /// It is looked at once more then: an engine fills a volume in its own time.
    again: Option<Instant>,
}

impl Known {
    /// All that there is, as it is now.
    pub(super) fn new(places: &Places) -> Self {
        let changed = engine::spots_changed(places);
        let seen =
            |spot: Spot| ((spot.kind, spot.name), Seen { changed: spot.changed, from: stamped_now(), again: None });
        Self { all: engine::spots(places).into_iter().map(seen).collect(), changed, waiting: false }
    }

    /// Is there something to look at? `now`: a client has ended.
    fn is_due(&mut self, places: &Places, at_once: bool) -> bool {
        let changed = engine::spots_changed(places);
        let moved = changed != self.changed;
        self.changed = changed;
        let again = self.all.values().any(|seen| seen.again.is_some_and(|at| at <= Instant::now()));
        moved || at_once || self.waiting || again
    }

    /// From which change on a file of it is to be looked at (seconds since 1970); `None`: not at all now.
    fn since(&mut self, spot: &Spot, at_once: bool) -> Option<i64> {
        let seen = self.all.get(&(spot.kind, spot.name.clone()));
        let touched = seen.is_none_or(|seen| seen.changed != spot.changed);
        let again = seen.and_then(|seen| seen.again).is_some_and(|at| at <= Instant::now());
        if !touched && !again {
            return None;
        }
        // What becomes a layer of an image is told with the image, so a build may end first.
        let fresh = spot.kind == Kind::Cache && spot.changed.elapsed().is_ok_and(|age| age < SETTLE);
        if spot.busy || fresh && !at_once {
            self.waiting = true;
            return None;
        }
        Some(seen.map_or(i64::MIN, |seen| seen.from))
    }

    fn looked(&mut self, spot: &Spot) {
        let first = !self.all.contains_key(&(spot.kind, spot.name.clone()));
        let again = (spot.kind == Kind::Volume && first).then(|| Instant::now() + SETTLE);
        self.all.insert((spot.kind, spot.name.clone()), Seen { changed: spot.changed, from: stamped_now(), again });
    }

    fn retain(&mut self, here: &BTreeSet<(Kind, String)>) {
        self.all.retain(|key, _| here.contains(key));
    }
}

/// The least that a file's time can be that is changed from now on (seconds since 1970): the kernel stamps with the last
/// tick (`ktime_get_coarse_real_ts64`), which may lie in the second before.
fn stamped_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX).saturating_sub(1)
}

impl Looker {
    /// Looks at what is new in caches and volumes of all engines; `at_once`: a client has ended, nothing more is waited for.
    pub(super) fn look_at_spots(&mut self, at_once: bool) -> Result<(), Ended> {
        let Some(set) = self.set() else { return Ok(()) };
        for places in self.engines.keys().cloned().collect::<Vec<_>>() {
            let Some(watched) = self.engines.get_mut(&places) else { continue };
            if !watched.spots.is_due(&places, at_once) {
                continue;
            }
            watched.spots.waiting = false;
            let spots = engine::spots(&places);
            watched.spots.retain(&spots.iter().map(|spot| (spot.kind, spot.name.clone())).collect());
            let due: Vec<_> =
                spots.into_iter().filter_map(|spot| Some((watched.spots.since(&spot, at_once)?, spot))).collect();
            if due.is_empty() {
                continue;
            }
            let layers = docker::layer_directories(&places.data);
            for (since, spot) in due {
                if let Some(watched) = self.engines.get_mut(&places) {
                    watched.spots.looked(&spot);
                }
                if spot.kind != Kind::Cache || !layers.contains(&spot.name) {
                    self.look_at_spot(&places, &spot, &set, since)?;
                }
            }
        }
        Ok(())
    }

    /// Looks at what was changed in the volumes of all engines since, which a copy may have.
    pub(super) fn look_at_volumes(&mut self, since: i64) -> Result<(), Ended> {
        let Some(set) = self.set() else { return Ok(()) };
        for places in self.engines.keys().cloned().collect::<Vec<_>>() {
            for spot in engine::spots(&places).into_iter().filter(|spot| spot.kind == Kind::Volume) {
                self.look_at_spot(&places, &spot, &set, since)?;
            }
        }
        Ok(())
    }

    fn look_at_spot(&mut self, places: &Places, spot: &Spot, set: &Arc<NeedleSet>, since: i64) -> Result<(), Ended> {
        let name = if scan::holds(spot.name.as_bytes(), set) { "a name that holds a token" } else { &spot.name };
        for held in self.tree(name, &places.data, &spot.directory, set, |changed| changed >= since) {
            let outside = below(&spot.directory, &held.path);
            let (name, inside) = (name.to_owned(), held.path);
            let place = match spot.kind {
                Kind::Cache => Place::Cache { name, inside },
                Kind::Volume => Place::Volume { name, inside },
            };
            let image = Image { engine: places.engine.name().to_owned(), ..Image::default() };
            self.tell(Found { image, place, outside, member: held.member, tokens: held.tokens })?;
        }
        Ok(())
    }
}
