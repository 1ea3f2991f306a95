//! Made-up engines: images of podman and containerd, the cache and the volumes of Docker.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use prometheus_client::encoding::text;

use super::{
    looker::{LOOK, REMEMBERED},
    *,
};
use crate::{
    container::model::Place,
    token::{fingerprint::Key, scan::Needles, secret::Secret},
};

const TOKEN: &str = "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";

fn needles() -> Arc<NeedleSet> {
    let key = Key::new([7; 32]);
    Arc::new(NeedleSet::new(&key, &[Needles::of(&key, &Secret::new(TOKEN.as_bytes().to_vec())).unwrap()]))
}

/// A storage with these images: id, name and layer. The token is in each layer and each configuration.
fn put(data: &Path, images: &[(&str, Option<&str>, &str)]) {
    let write = |name: String, text: String| {
        let path = data.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let (mut list, mut layers) = (Vec::new(), Vec::new());
    for (id, name, layer) in images {
        let names: Vec<&str> = name.iter().copied().collect();
        list.push(serde_json::json!({"id": id, "names": names, "layer": layer}));
        layers.push(serde_json::json!({"id": layer, "diff-digest": "sha256:1"}));
        let file = data_encoding::BASE64.encode(format!("sha256:{id}").as_bytes());
        let config = format!(r#"{{"config":{{"Env":["T={TOKEN}"]}},"rootfs":{{"diff_ids":["sha256:1"]}}}}"#);
        write(format!("overlay-images/{id}/={file}"), config);
        write(format!("overlay/{layer}/diff/etc/config"), format!("token={TOKEN}"));
    }
    write("overlay-layers/layers.json".into(), serde_json::to_string(&layers).unwrap());
    write("overlay-images/images.json".into(), serde_json::to_string(&list).unwrap());
}

fn looker(data: &Path) -> (Looker, Places, mpsc::Receiver<Found>) {
    let (send, found) = mpsc::sync_channel(WAITING);
    let set = Arc::new(Mutex::new(Some(needles())));
    let mut looker = Looker::new(set, send, Metrics::new().0);
    let places = Places::storage(data.to_owned());
    looker.add(places.clone());
    (looker, places, found)
}

fn told(looker: &mut Looker, places: &Places, found: &mpsc::Receiver<Found>) -> Vec<(String, bool)> {
    assert!(looker.look_at(places, true).is_ok());
    let told = |found: Found| (found.image.id, matches!(found.place, Place::Layer { .. }));
    found.try_iter().map(told).collect()
}

#[test]
fn two_images_without_a_name_are_two() {
    let data = tempfile::tempdir().unwrap();
    let (mut looker, places, found) = looker(data.path());
    put(data.path(), &[("one", None, "l"), ("two", None, "l")]);
    let all = told(&mut looker, &places, &found);
    let expected = [("one", false), ("one", true), ("two", false), ("two", true)];
    assert_eq!(all, expected.map(|(id, layer)| (id.to_owned(), layer)));
    put(data.path(), &[("one", None, "l"), ("two", None, "l"), ("three", Some("app:1"), "l")]);
    assert_eq!(told(&mut looker, &places, &found).len(), 2, "a layer that is known");
}

#[test]
fn what_may_be_a_step_of_a_build_waits_for_its_end() {
    let data = tempfile::tempdir().unwrap();
    let (mut looker, places, found) = looker(data.path());
    put(data.path(), &[("step", None, "l")]);
    assert!(looker.look_at(&places, false).is_ok());
    assert_eq!(found.try_iter().count(), 0);
    put(data.path(), &[("step", None, "l"), ("all", Some("app:1"), "l")]);
    assert!(told(&mut looker, &places, &found).iter().all(|(id, _)| id == "all"));
}

#[test]
fn a_layer_is_told_where_nothing_more_can_be_remembered_and_what_is_gone_is_forgotten() {
    let data = tempfile::tempdir().unwrap();
    let (mut looker, places, found) = looker(data.path());
    let full = || (0..REMEMBERED).map(|number| (format!("other {number}"), Vec::new())).collect();
    for id in ["one", "two"] {
        looker.layers = full();
        put(data.path(), &[(id, None, "l")]);
        assert!(told(&mut looker, &places, &found).contains(&(id.to_owned(), true)), "{id}");
    }
    assert!(looker.layers.is_empty(), "no engine has those");
    put(data.path(), &[("three", None, "l")]);
    assert_eq!(told(&mut looker, &places, &found).len(), 2);
    assert_eq!(looker.engines[&places].layers.len(), 1);
    put(data.path(), &[("four", None, "m")]);
    assert_eq!(told(&mut looker, &places, &found).len(), 2);
    assert_eq!(looker.engines[&places].layers, BTreeSet::from(["m".to_owned()]));
    assert_eq!(looker.layers.len(), 1);
}

#[test]
fn messages_without_an_end_do_not_keep_it_from_looking() {
    let data = tempfile::tempdir().unwrap();
    let (looker, _, found) = looker(data.path());
    put(data.path(), &[("one", Some("app:1"), "l")]);
    let (send, receive) = mpsc::sync_channel(WAITING);
    let thread = thread::spawn(move || looker.run(&receive, &[]));
    let deadline = Instant::now() + Duration::from_secs(60);
    let looked = loop {
        send.send(Message::Daemon(Program::Dockerd, Vec::new())).unwrap();
        match found.recv_timeout(LOOK / 20) {
            Ok(found) if found.outside.starts_with(data.path()) => break true,
            Ok(_) => {}
            Err(_) if Instant::now() < deadline => {}
            Err(_) => break false,
        }
    };
    drop(send);
    drop(found);
    thread.join().unwrap();
    assert!(looked);
}

#[test]
fn what_finds_no_room_is_counted_and_the_tokens_always_do() {
    let (messages, _receive) = mpsc::sync_channel(1);
    let ((metrics, registry), (_, found)) = (Metrics::new(), mpsc::sync_channel(1));
    let images = Images { messages, set: Needed::default(), metrics, found };
    for _ in 0..3 {
        images.want(&Wanted::Daemon(Program::Dockerd, Vec::new()));
    }
    images.know(needles());
    assert!(images.set.lock().unwrap().is_some());
    let mut page = String::new();
    text::encode(&mut page, &registry).unwrap();
    assert!(page.lines().any(|line| line.contains("image_looks") && line.ends_with(" 2")), "{page}");
}

/// A Docker with a driver, and nothing in it.
fn docker(data: &Path) -> (Looker, mpsc::Receiver<Found>) {
    fs::create_dir_all(data.join("image/overlay2/imagedb/content/sha256")).unwrap();
    fs::create_dir_all(data.join("overlay2")).unwrap();
    fs::create_dir_all(data.join("volumes")).unwrap();
    let (send, found) = mpsc::sync_channel(WAITING);
    let mut looker = Looker::new(Arc::new(Mutex::new(Some(needles()))), send, Metrics::new().0);
    looker.add(Places::docker(data.to_owned(), data.join("exec")));
    (looker, found)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn what_a_build_leaves_in_its_cache_is_told_once_it_is_done() {
    let data = tempfile::tempdir().unwrap();
    let (mut looker, found) = docker(data.path());
    let at = data.path().join("overlay2/c46evhxv2sln6zjfj2hg6ajgs");
    let layer = data.path().join("overlay2/g61wolvw14bs5il9uzbob0z8z");
    fs::create_dir_all(at.join("merged")).unwrap();
    write(&at.join("diff/root/.netrc"), TOKEN);
    write(&layer.join("diff/root/.netrc"), TOKEN);
    write(&data.path().join("image/overlay2/layerdb/sha256/1/cache-id"), "g61wolvw14bs5il9uzbob0z8z");
    let mut told = |at_once: bool| {
        assert!(looker.look_at_spots(at_once).is_ok());
        found.try_iter().map(|found| found.place).collect::<Vec<_>>()
    };
    assert_eq!(told(true), [], "a step writes there, and the other is told with its image");
    fs::remove_dir(at.join("merged")).unwrap();
    assert_eq!(told(false), [], "it may become a layer of an image in a moment");
    let [Place::Cache { inside, .. }] = &told(true)[..] else { panic!("it is told") };
    assert_eq!(inside, Path::new("/root/.netrc"));
    assert_eq!(told(true), [], "once");
    // A later build is given the same directory: later by the clock of the file system, which may stand still meanwhile.
    write(&at.join("diff/root/other"), TOKEN);
    let changed = || fs::metadata(&at).unwrap().modified().unwrap();
    let (before, deadline) = (changed(), Instant::now() + Duration::from_secs(10));
    while changed() == before {
        assert!(Instant::now() < deadline, "the clock of the file system stands still");
        fs::create_dir_all(at.join("merged")).unwrap();
        fs::remove_dir(at.join("merged")).unwrap();
    }
    let [Place::Cache { inside, .. }] = &told(true)[..] else { panic!("what is new in it is told") };
    assert_eq!(inside, Path::new("/root/other"));
}

#[test]
fn a_volume_is_looked_through_when_it_is_new_and_after_a_copy() {
    let data = tempfile::tempdir().unwrap();
    write(&data.path().join("volumes/old/_data/file"), TOKEN);
    let (mut looker, found) = docker(data.path());
    write(&data.path().join("volumes/new/_data/file"), TOKEN);
    write(&data.path().join("volumes/twin/_data/file"), "nothing");
    assert!(looker.look_at_spots(false).is_ok());
    let names = || found.try_iter().map(|found| found.outside).collect::<Vec<_>>();
    assert_eq!(names(), [data.path().join("volumes/new/_data/file")], "the old one was there before");
    write(&data.path().join("volumes/old/_data/other"), TOKEN);
    assert!(looker.look_at_volumes(i64::MAX).is_ok());
    assert_eq!(names(), [] as [PathBuf; 0], "changed before");
    assert!(looker.look_at_volumes(0).is_ok());
    assert_eq!(names().len(), 2);
}

#[test]
fn an_image_of_containerd_is_looked_through_when_all_of_it_is_there() {
    let data = tempfile::tempdir().unwrap();
    let (send, found) = mpsc::sync_channel(WAITING);
    let mut looker = Looker::new(Arc::new(Mutex::new(Some(needles()))), send, Metrics::new().0);
    let places = Places::containerd(data.path().to_owned(), data.path().join("run"));
    looker.add(places.clone());
    let blob = |name: &str| data.path().join("io.containerd.content.v1.content/blobs/sha256").join(name);
    write(&blob("m"), r#"{"config":{"digest":"sha256:c"},"layers":[{"digest":"sha256:l"}]}"#);
    assert_eq!(told(&mut looker, &places, &found), []);
    write(&blob("c"), &format!(r#"{{"config":{{"Env":["T={TOKEN}"]}},"rootfs":{{"diff_ids":["sha256:1"]}}}}"#));
    assert_eq!(told(&mut looker, &places, &found), [], "its name comes last, while another client may end");
    write(
        &blob("i"),
        r#"{"manifests":[{"digest":"sha256:m","annotations":{"io.containerd.image.name":"docker.io/library/a:1"}}]}"#,
    );
    assert_eq!(told(&mut looker, &places, &found), [("m".to_owned(), false)]);
    write(&blob("l"), &format!("not packed at all, token={TOKEN}"));
    assert_eq!(told(&mut looker, &places, &found), [("m".to_owned(), true)]);
    assert_eq!(told(&mut looker, &places, &found), []);
}
