//! The configuration of an image (OCI image specification, and Docker's own): its texts, in which tokens may stand, and
//! which step of the build made which layer. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use zeroize::Zeroizing;

/// Most texts of one configuration that are looked at.
const MOST_TEXTS: usize = 4096;

/// A configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Texts with where they stand: `variable GH_TOKEN`. They may hold tokens.
    pub texts: Vec<(String, Zeroizing<String>)>,
    /// Digests of the layers' contents, lowest first.
    pub layers: Vec<String>,
    /// For each layer the step that made it, where the history tells.
    steps: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    config: Option<Inner>,
    #[serde(default)]
    history: Vec<Step>,
    rootfs: Rootfs,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inner {
    #[serde(default)]
    env: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
    #[serde(default)]
    cmd: Option<Vec<String>>,
    #[serde(default)]
    entrypoint: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Step {
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    empty_layer: bool,
}

#[derive(Deserialize)]
struct Rootfs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

impl Config {
    /// Reads one. `None` if it is none: other files lie beside them.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let File { config, history, rootfs } = serde_json::from_slice(bytes).ok()?;
        let mut texts = Vec::new();
        let mut put = |place: String, text: String| {
            if texts.len() < MOST_TEXTS && !text.is_empty() {
                texts.push((place, Zeroizing::new(text)));
            }
        };
        if let Some(Inner { env, labels, cmd, entrypoint }) = config {
            for entry in env.unwrap_or_default() {
                let name = entry.split('=').next().unwrap_or_default();
                put(format!("variable {name}"), entry.clone());
            }
            for (name, value) in labels.unwrap_or_default() {
                put(format!("label {name}"), value);
            }
            for (what, words) in [("command", cmd), ("entry point", entrypoint)] {
                put(what.to_owned(), words.unwrap_or_default().join("\0"));
            }
        }
        let mut steps = Vec::new();
        for (at, Step { created_by, comment, empty_layer }) in history.into_iter().enumerate() {
            let step = step(at + 1, &created_by);
            if !empty_layer {
                steps.push(step.clone());
            }
            put(format!("history of {step}"), created_by);
            put(format!("comment of {step}"), comment);
        }
        Some(Self { texts, layers: rootfs.diff_ids.unwrap_or_default(), steps })
    }

    /// The step that made the layer with that number, from 0.
    #[must_use]
    pub fn step(&self, layer: usize) -> Option<&str> {
        // With a history of another length it is not that of these layers.
        (self.steps.len() == self.layers.len()).then(|| self.steps.get(layer).map(String::as_str)).flatten()
    }
}

/// What is told of a step: its number, its instruction, and where files were copied to. The rest may hold a token.
fn step(number: usize, text: &str) -> String {
    let text = text.trim_start();
    let classic = text.strip_prefix("/bin/sh -c #(nop)").map(str::trim_start);
    let instruction = match classic {
        Some(rest) => rest.split_whitespace().next().unwrap_or_default(),
        // `|1 TOKEN=... /bin/sh -c ...` has the build's arguments before the command.
        None if text.starts_with('|') || text.starts_with("/bin/") => "RUN",
        None => text.split_whitespace().next().unwrap_or_default(),
    };
    const KNOWN: &[&str] = &[
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ];
    if KNOWN.contains(&instruction) { format!("step {number} ({instruction})") } else { format!("step {number}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r##"{"config":{"Env":["PATH=/bin","GH_TOKEN=made-up"],"Labels":{"l":"v"},"Cmd":["/bin/sh"]},
        "history":[{"created_by":"/bin/sh -c #(nop) COPY file:70 in /bin/busybox "},
        {"created_by":"/bin/sh -c #(nop)  ARG TOKEN","empty_layer":true},
        {"created_by":"/bin/sh -c #(nop)  ENV GH_TOKEN=made-up","empty_layer":true},
        {"created_by":"|1 TOKEN=other /bin/sh -c make"}],
        "rootfs":{"type":"layers","diff_ids":["sha256:a","sha256:b"]}}"##;

    #[test]
    fn texts_and_steps_are_told_apart() {
        let config = Config::parse(FILE.as_bytes()).unwrap();
        let places: Vec<&str> = config.texts.iter().map(|(place, _)| place.as_str()).collect();
        for wanted in ["variable GH_TOKEN", "label l", "history of step 3 (ENV)", "history of step 4 (RUN)"] {
            assert!(places.contains(&wanted), "{wanted}: {places:?}");
        }
        assert_eq!((config.step(0), config.step(1)), (Some("step 1 (COPY)"), Some("step 4 (RUN)")));
        assert!(!places.iter().any(|place| place.contains("made-up") || place.contains("other")), "no text in a place");
    }

    #[test]
    fn a_history_that_does_not_fit_names_no_step() {
        let config = Config::parse(br#"{"rootfs":{"diff_ids":["sha256:a"]}}"#).unwrap();
        assert_eq!(config.step(0), None);
        assert!(Config::parse(br#"{"layers":[]}"#).is_none(), "a manifest");
        assert!(Config::parse(b"\x1f\x8b").is_none());
    }
}
