//! Containers as OCSF has them.

use serde_json::{Map, Value, json};

use super::put;
use crate::{finding::visible, lineage::model::Container};

/// The container of a process.
pub(super) fn object(Container { id, runtime, named }: &Container) -> Value {
    let mut map = Map::new();
    put(&mut map, "uid", json!(id));
    put(&mut map, "runtime", json!(runtime));
    if let Some(name) = &named.name {
        put(&mut map, "name", json!(visible::text(name)));
    }
    if let Some(image) = &named.image {
        // Which one exactly the runtime's own files do not say: the name is what it was asked for by.
        put(&mut map, "image", json!({"uid": visible::text(image), "name": visible::text(image)}));
    }
    Value::Object(map)
}
