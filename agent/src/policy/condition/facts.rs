//! The variables of conditions.

use std::path::Path;

use cel::{
    common::{
        types::{CelBool, CelInt, CelList, CelString},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};

use super::{MAX_ITEMS, check::Type};
use crate::{
    container::model::Named,
    detect::access::Target,
    lineage::model::{Process, Script, Writable},
    policy::{rule::Subject, times},
};

/// Every variable: its name, its type, what it says. A path that is not UTF-8 has `U+FFFD` where it is not.
pub const VARIABLES: &[(&str, Type, &str)] = &[
    ("stores", Type::Texts, "ids of the stores that the file belongs to; none for another process"),
    (
        "path",
        Type::Text,
        "the name by which the file was opened, or was written with a copy of a token; empty for another process",
    ),
    ("inspects", Type::Text, "how another process is looked into (`environ`, `mem`, ...); empty for a store"),
    ("reader", Type::Text, "path of the reader's executable"),
    ("script", Type::Text, "path of the script it runs; empty if it runs none from a file"),
    ("inline", Type::Bool, "it runs code that was typed or piped in"),
    ("trusted", Type::Bool, "its user can write neither its executable nor its script"),
    ("args", Type::Texts, "its arguments, redacted"),
    ("cwd", Type::Text, "its working directory at its start; empty if not known"),
    ("brought_by", Type::Text, "the package that brought it, unchanged; empty if none is known"),
    ("ancestors", Type::Texts, "paths of executables and scripts of its ancestors, nearest first"),
    ("user", Type::Text, "name of its real user; empty if it has none"),
    ("uid", Type::Int, "number of its real user"),
    ("euid", Type::Int, "number of its effective user"),
    ("actor", Type::Text, "class of whoever acts"),
    ("actor_id", Type::Text, "its id in the catalogue (`npm`); empty if it has none"),
    ("behalf_of", Type::Texts, "classes of those on whose behalf it acts, nearest first"),
    ("terminal", Type::Bool, "the reader has a controlling terminal"),
    ("container", Type::Text, "runtime of the container it is in (`docker`); empty on the host"),
    (
        "container_name",
        Type::Text,
        "what its runtime calls that container; chosen by whoever started it, empty if not known",
    ),
    ("container_image", Type::Text, "the image that container was made from, as it was asked for; empty if not known"),
    ("unit", Type::Text, "systemd unit it is in; empty if not known"),
    ("host", Type::Text, "name of this machine"),
    ("hour", Type::Int, "hour of the access in UTC, 0 to 23; `time` knows other zones"),
    ("weekday", Type::Text, "day of the access in UTC: `mon` to `sun`"),
];

/// One access, as conditions see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a>(pub(super) Subject<'a>);

impl VariableResolver for Facts<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let Subject { access, host, .. } = self.0;
        let (reader, ancestors) = access.chain.processes.split_first()?;
        let value = match variable {
            "stores" => texts(self.stores().into_iter().map(str::to_owned)),
            "path" => match &access.target {
                Target::Store { path, .. } => of_path(path),
                Target::Copy { copied, .. } => of_path(&copied.path),
                Target::Process(..) | Target::Service { .. } => text(""),
            },
            "inspects" => match &access.target {
                Target::Store { .. } | Target::Service { .. } | Target::Copy { .. } => text(""),
                Target::Process(how, ..) => text(how.name()),
            },
            "reader" => of_path(&reader.executable.path),
            "script" => reader.script_path().map_or_else(|| text(""), of_path),
            "inline" => truth(matches!(reader.script, Some(Script::Inline))),
            "trusted" => truth(trusted(reader)),
            "args" => texts(reader.args.iter().cloned()),
            "cwd" => reader.cwd.as_deref().map_or_else(|| text(""), of_path),
            "brought_by" => text(reader.owners.as_deref().and_then(|owners| owners.package()).unwrap_or_default()),
            "ancestors" => texts(ancestors.iter().flat_map(programs).map(|path| path.to_string_lossy().into_owned())),
            "user" => text(access.user_name.as_deref().unwrap_or_default()),
            "uid" => number(reader.uid),
            "euid" => number(reader.euid),
            "actor" => text(access.actor.class().name()),
            "actor_id" => text(access.actor.party.id.as_deref().unwrap_or_default()),
            "behalf_of" => texts(access.actor.on_behalf_of.iter().map(|party| party.class.name().to_owned())),
            "terminal" => truth(reader.tty.is_some()),
            "container" => text(reader.container.as_ref().map_or("", |container| container.runtime.as_str())),
            "container_name" => named(reader, |named| named.name.as_deref()),
            "container_image" => named(reader, |named| named.image.as_deref()),
            "unit" => text(reader.unit.as_deref().unwrap_or_default()),
            "host" => text(host),
            "hour" => number(times::hour(access.wall)),
            "weekday" => text(times::weekday(access.wall)),
            _ => return None,
        };
        Some(value)
    }
}

impl<'a> Facts<'a> {
    fn stores(&self) -> Vec<&'a str> {
        match (self.0.store, &self.0.access.target) {
            (Some(store), _) => vec![store],
            (None, Target::Store { stores, .. } | Target::Service { stores, .. } | Target::Copy { stores, .. }) => {
                stores.iter().map(String::as_str).collect()
            }
            (None, Target::Process(..)) => Vec::new(),
        }
    }
}

fn named(process: &Process, what: impl Fn(&Named) -> Option<&str>) -> CowVal<'_, '_> {
    let name = process.container.as_ref().and_then(|container| what(&container.named));
    CowVal::owned(CelString::from(name.unwrap_or_default()))
}

fn trusted(process: &Process) -> bool {
    let script = match &process.script {
        Some(Script::File { writable, .. }) => *writable,
        Some(Script::Module(_) | Script::Inline) | None => Writable::No,
    };
    process.executable.writable == Writable::No && script == Writable::No && !process.executable.path_truncated
}

fn programs(process: &Process) -> impl Iterator<Item = &Path> {
    std::iter::once(process.executable.path.as_path()).chain(process.script_path())
}

fn text(text: &str) -> CowVal<'_, '_> {
    CowVal::owned(CelString::from(text))
}

fn of_path(path: &Path) -> CowVal<'_, '_> {
    CowVal::owned(CelString::from(path.to_string_lossy()))
}

fn truth<'b>(truth: bool) -> CowVal<'b, 'b> {
    CowVal::owned(CelBool::from(truth))
}

fn number<'b>(number: u32) -> CowVal<'b, 'b> {
    CowVal::owned(CelInt::from(i64::from(number)))
}

fn texts<'b>(texts: impl Iterator<Item = String>) -> CowVal<'b, 'b> {
    let items = texts.take(MAX_ITEMS).map(|text| Box::new(CelString::from(text)) as Box<dyn Val + 'b>);
    CowVal::owned(CelList::from(items.collect::<Vec<_>>()))
}
