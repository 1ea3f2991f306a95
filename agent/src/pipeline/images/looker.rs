//! What the thread does: which engines there are, and which of their images are new.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, mpsc},
    time::{Duration, Instant, SystemTime},
};

use super::{Message, Needed, engine, spots};
use crate::{
    container::{
        daemons,
        engine::Task,
        facts::lookup::{Engine, Places},
        images::{
            Kept, Layer,
            scan::{self, Held},
        },
        model::{Found, Image, Place},
    },
    telemetry::{events, metrics::Metrics},
    token::{fingerprint::Fingerprint, scan::NeedleSet},
};

/// How often it is looked whether there are new images.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// How long images may go on coming before they are looked through: each step of a build makes one.
pub(super) const SETTLE: Duration = Duration::from_secs(10);
/// Most engines.
const ENGINES: usize = 32;
/// Most layers of which it is remembered what was found, and most tellings.
pub(super) const REMEMBERED: usize = 8192;

/// What is known of an engine.
pub(super) struct Watched {
    images: BTreeSet<String>,
    pub(super) layers: BTreeSet<String>,
    changed: Option<SystemTime>,
    /// Since when new images wait to be looked through.
    since: Option<Instant>,
    pub(super) spots: spots::Known,
}

/// Nobody listens any more.
pub(super) struct Ended;

pub(super) struct Looker {
    pub(super) engines: BTreeMap<Places, Watched>,
    set: Needed,
    /// What was found in layers: another image may be made of them.
    pub(super) layers: HashMap<String, Vec<Held>>,
    told: BTreeSet<(String, Fingerprint)>,
    /// Tokens that were told of an image in this turn: that they are in the cache of its build as well says no more.
    in_images: BTreeSet<Fingerprint>,
    found: mpsc::SyncSender<Found>,
    metrics: Metrics,
}

impl Looker {
    pub(super) fn new(set: Needed, found: mpsc::SyncSender<Found>, metrics: Metrics) -> Self {
        let (engines, layers, told) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        Self { engines, set, layers, told, in_images: BTreeSet::new(), found, metrics }
    }

    pub(super) fn set(&self) -> Option<Arc<NeedleSet>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Works until nobody listens any more.
    pub(super) fn run(mut self, messages: &mpsc::Receiver<Message>, homes: &[PathBuf]) {
        daemons::running().into_iter().chain(Places::usual(homes)).for_each(|places| self.add(places));
        let mut next = Instant::now() + LOOK;
        loop {
            let mut told = match messages.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(message) => self.take(message),
                Err(mpsc::RecvTimeoutError::Timeout) => Ok(()),
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            };
            // However many messages come.
            if Instant::now() >= next {
                told = told.and_then(|()| self.look_around(false));
                next = Instant::now() + LOOK;
            }
            if told.is_err() {
                return;
            }
        }
    }

    fn take(&mut self, message: Message) -> Result<(), Ended> {
        match message {
            Message::Daemon(daemon, args) => daemons::of(daemon, &args).into_iter().for_each(|places| self.add(places)),
            Message::Client(home, storage) => {
                let usual = home.map(|home| Places::usual(&[home])).unwrap_or_default();
                usual.into_iter().chain(storage).for_each(|places| self.add(places));
            }
            Message::Done(Task::Copy, since) => {
                return self.look_at_written(since).and_then(|()| self.look_at_volumes(since));
            }
            Message::Done(..) => return self.look_around(true),
        }
        Ok(())
    }

    /// An engine is known from now on.
    pub(super) fn add(&mut self, places: Places) {
        // The same one may be known by another name of its state directory.
        let known = |other: &Places| other.engine == places.engine && other.data == places.data;
        if self.engines.keys().any(known) {
            return;
        }
        if self.engines.len() >= ENGINES {
            return events::TableEvicted { table: "image_engines", count: 1 }.emit(&self.metrics);
        }
        let (images, layers) = (engine::images(&places), engine::layers(&places));
        tracing::info!(
            engine = places.engine.name(),
            data = %places.data.display(),
            images = images.len(),
            layers = layers.len(),
            "images of a container engine are watched; those that are there already are not looked through"
        );
        let (changed, spots) = (engine::changed(&places), spots::Known::new(&places));
        self.engines.insert(places, Watched { images, layers, changed, since: None, spots });
    }

    /// New images of all engines, and then what is new beside them.
    fn look_around(&mut self, now: bool) -> Result<(), Ended> {
        self.in_images.clear();
        self.look_at_all(now).and_then(|()| self.look_at_spots(now))
    }

    /// New images of all engines; `now`: without waiting for more.
    fn look_at_all(&mut self, now: bool) -> Result<(), Ended> {
        let mut due = Vec::new();
        for (places, watched) in &mut self.engines {
            let changed = engine::changed(places);
            let moved = changed != watched.changed;
            watched.changed = changed;
            if moved && watched.since.is_none() {
                watched.since = Some(Instant::now());
            }
            let ripe = watched.since.is_some_and(|since| now || !moved || since.elapsed() >= SETTLE);
            if ripe {
                watched.since = None;
                due.push(places.clone());
            }
        }
        due.into_iter().try_for_each(|places| self.look_at(&places, now))
    }

    pub(super) fn look_at(&mut self, places: &Places, now: bool) -> Result<(), Ended> {
        // Before the first look at stores there is nothing to look for; the images stay new until then.
        let Some(set) = self.set() else {
            if let Some(watched) = self.engines.get_mut(places) {
                watched.changed = None;
            }
            return Ok(());
        };
        let all = engine::images(places);
        let Some(watched) = self.engines.get_mut(places) else { return Ok(()) };
        let new: BTreeSet<String> = all.difference(&watched.images).cloned().collect();
        watched.images = all;
        let (mut kept, mut waiting) = engine::kept(places, &new);
        // One without a name may be a step of a build that goes on. containerd is told the name last, while a client of another
        // engine may end.
        let may_go_on = !now || places.engine == Engine::Containerd;
        kept.retain(|one| {
            let later = may_go_on && one.image.names.is_empty() && is_fresh(&one.file);
            if later {
                waiting.insert(one.image.id.clone());
                watched.since = Some(Instant::now());
            }
            !later
        });
        watched.images.retain(|id| !waiting.contains(id));
        kept.iter().try_for_each(|kept| self.image(places, kept, &set))?;
        // What is gone is forgotten, and what has come meanwhile is new still.
        let here = engine::layers(places);
        if let Some(watched) = self.engines.get_mut(places) {
            watched.layers.retain(|layer| here.contains(layer));
        }
        let engines = &self.engines;
        self.layers.retain(|layer, _| engines.values().any(|watched| watched.layers.contains(layer)));
        Ok(())
    }

    /// Looks through a new image.
    fn image(&mut self, places: &Places, kept: &Kept, set: &NeedleSet) -> Result<(), Ended> {
        for (place, tokens) in scan::texts(&kept.config.texts, set) {
            let place = if scan::holds(place.as_bytes(), set) { "a name that holds a token".to_owned() } else { place };
            let (image, outside) = (kept.image.clone(), kept.file.clone());
            self.tell(Found { image, place: Place::Config(place), outside, member: None, tokens })?;
        }
        for (number, layer) in kept.layers.iter().enumerate() {
            let known = self.engines.get(places).is_some_and(|watched| watched.layers.contains(&layer.id));
            let files = if known {
                self.layers.get(&layer.id).cloned().unwrap_or_default()
            } else {
                let files = self.layer(places, layer, set);
                self.remember(places, &layer.id, &files);
                files
            };
            for Held { path: inside, member, tokens } in files {
                let packed = || layer.directory.clone();
                let outside = if layer.packed { packed() } else { below(&layer.directory, &inside) };
                let step = kept.config.step(number).map(str::to_owned);
                let place = Place::Layer { layer: layer.digest.clone(), inside, step };
                self.tell(Found { image: kept.image.clone(), place, outside, member, tokens })?;
            }
        }
        Ok(())
    }

    /// A layer was looked through. One whose tokens find no room is looked through again with the next image that has it.
    fn remember(&mut self, places: &Places, layer: &str, files: &[Held]) {
        if !files.is_empty() && self.layers.len() >= REMEMBERED {
            events::TableEvicted { table: "image_layers", count: 1 }.emit(&self.metrics);
            return;
        }
        if !files.is_empty() {
            self.layers.insert(layer.to_owned(), files.to_vec());
        }
        if let Some(watched) = self.engines.get_mut(places) {
            watched.layers.insert(layer.to_owned());
        }
    }

    /// What lies in a layer of an image.
    fn layer(&self, places: &Places, layer: &Layer, set: &NeedleSet) -> Vec<Held> {
        if !layer.packed {
            return self.tree(&layer.digest, &places.data, &layer.directory, set, |_| true);
        }
        let place = layer.directory.parent().zip(layer.directory.file_name().and_then(|name| name.to_str()));
        let found =
            place.map_or_else(|| Ok(scan::Found::default()), |(directory, name)| scan::packed(directory, name, set));
        self.looked(&layer.digest, &layer.directory, found, set)
    }

    /// What lies in a directory of an engine whose files are below `data`.
    pub(super) fn tree(
        &self,
        name: &str,
        data: &Path,
        directory: &Path,
        set: &NeedleSet,
        wanted: impl Fn(i64) -> bool,
    ) -> Vec<Held> {
        self.looked(name, directory, scan::tree(data, directory, set, wanted), set)
    }

    /// Tells what was done, and what of the answer may be told.
    fn looked(&self, name: &str, at: &Path, found: io::Result<scan::Found>, set: &NeedleSet) -> Vec<Held> {
        let found = found.unwrap_or_else(|error| {
            tracing::debug!(at = %at.display(), %error, "a layer could not be looked through");
            scan::Found { missed: 1, ..scan::Found::default() }
        });
        events::LayerScanned { layer: name, found: &found }.emit(&self.metrics);
        let safe = |held: Held| {
            let holds = scan::holds(held.path.as_os_str().as_encoded_bytes(), set);
            let path = if holds { PathBuf::from("/(a name that holds a token)") } else { held.path };
            Held { path, ..held }
        };
        found.files.into_iter().map(safe).collect()
    }

    /// What containers have written since.
    fn look_at_written(&mut self, since: i64) -> Result<(), Ended> {
        let Some(set) = self.set() else { return Ok(()) };
        for places in self.engines.keys().cloned().collect::<Vec<_>>() {
            for (container, directory) in engine::writable(&places) {
                let files = self.tree(&container, &places.data, &directory, &set, |changed| changed >= since);
                let named = if files.is_empty() { None } else { places.facts(&container) };
                let named = named.map(|facts| facts.named).unwrap_or_default();
                for Held { path: inside, member, tokens } in files {
                    let outside = below(&directory, &inside);
                    let (container, named) = (container.clone(), named.clone());
                    let image = Image { engine: places.engine.name().to_owned(), ..Image::default() };
                    let place = Place::Written { container, named, inside };
                    self.found.send(Found { image, place, outside, member, tokens }).map_err(|_| Ended)?;
                }
            }
        }
        Ok(())
    }

    /// Tells of a token, unless it was told of this place; of an image also with the same names, of one without by its id.
    pub(super) fn tell(&mut self, found: Found) -> Result<(), Ended> {
        let spot = match &found.place {
            Place::Layer { layer, inside, .. } => format!("{layer} {}", inside.display()),
            Place::Config(text) => text.clone(),
            Place::Written { container: name, inside, .. }
            | Place::Cache { name, inside }
            | Place::Volume { name, inside } => format!("{name} {}", inside.display()),
        };
        let image = match &found.image.names[..] {
            [] => found.image.id.clone(),
            names => names.join(" "),
        };
        let spot = format!("{image} {spot} {}", found.member.as_deref().unwrap_or_default());
        let is_new = |token: &Fingerprint| !self.told.contains(&(spot.clone(), *token));
        let is_cache = matches!(found.place, Place::Cache { .. });
        let elsewhere = |token: &Fingerprint| is_cache && self.in_images.contains(token);
        let new: Vec<_> = found.tokens.iter().copied().filter(|token| is_new(token) && !elsewhere(token)).collect();
        if new.is_empty() {
            return Ok(());
        }
        if self.told.len() < REMEMBERED {
            self.told.extend(new.iter().map(|token| (spot.clone(), *token)));
        }
        if matches!(found.place, Place::Layer { .. } | Place::Config(_)) {
            self.in_images.extend(&new);
        }
        self.found.send(Found { tokens: new, ..found }).map_err(|_| Ended)
    }
}

/// Was it written a moment ago?
fn is_fresh(file: &Path) -> bool {
    let written = file.symlink_metadata().and_then(|facts| facts.modified());
    written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < SETTLE))
}

/// The name on the host of what is called so below a directory.
pub(super) fn below(directory: &Path, inside: &Path) -> PathBuf {
    directory.join(inside.strip_prefix("/").unwrap_or(inside))
}
