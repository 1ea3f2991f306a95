//! From nodes to values, collecting every mistake.

use std::path::Path;

use super::{Key, Node, Place, Problems, Value};

/// Where mistakes go, and which file they are in.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The file, for messages.
    pub file: &'a Path,
    /// What was found so far.
    pub problems: &'a mut Problems,
}

impl Reading<'_> {
    /// Adds an error.
    pub fn error(&mut self, place: Place, message: impl Into<String>) {
        self.problems.error(self.file, place, message);
    }

    /// Adds a warning.
    pub fn warning(&mut self, place: Place, message: impl Into<String>) {
        self.problems.warning(self.file, place, message);
    }
}

/// A value that can be read from a node.
pub trait FromNode: Sized {
    /// Reads it; `None` after a mistake has been reported.
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self>;
}

/// A value with the place it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T: FromNode> FromNode for Placed<T> {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        T::from_node(node, reading).map(|value| Self { value, place: node.place })
    }
}

fn wrong(node: &Node, expected: &str, reading: &mut Reading<'_>) {
    let hint = match (&node.value, expected) {
        (Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Null, "text") => "; put it in quotes",
        (Value::Text(_), "a list") => "; write it as [one, two] or as lines that start with \"- \"",
        _ => "",
    };
    reading.error(node.place, format!("must be {expected}, this is {}{hint}", node.value.kind()));
}

impl FromNode for String {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        if let Value::Text(text) = &node.value {
            return Some(text.clone());
        }
        wrong(node, "text", reading);
        None
    }
}

impl FromNode for bool {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        wrong(node, "true or false", reading);
        None
    }
}

impl FromNode for u64 {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        match node.value {
            Value::Int(number) => Self::try_from(number)
                .map_err(|_| reading.error(node.place, format!("must be 0 or more, this is {number}")))
                .ok(),
            _ => {
                wrong(node, "a whole number", reading);
                None
            }
        }
    }
}

impl<T: FromNode> FromNode for Vec<T> {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let Value::List(list) = &node.value else {
            wrong(node, "a list", reading);
            return None;
        };
        // Every element is read, also after a wrong one.
        let values: Vec<Option<T>> = list.iter().map(|node| T::from_node(node, reading)).collect();
        values.into_iter().collect()
    }
}

/// A map with free keys, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table<T>(pub Vec<(Key, T)>);

impl<T: FromNode> FromNode for Table<T> {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let Value::Map(map) = &node.value else {
            wrong(node, "a map", reading);
            return None;
        };
        report_repeated(map, reading);
        let values: Vec<Option<(Key, T)>> =
            map.iter().map(|(key, node)| T::from_node(node, reading).map(|value| (key.clone(), value))).collect();
        values.into_iter().collect::<Option<_>>().map(Self)
    }
}

fn report_repeated(map: &[(Key, Node)], reading: &mut Reading<'_>) {
    for (i, (key, _)) in map.iter().enumerate() {
        if let Some((first, _)) = map[..i].iter().find(|(earlier, _)| earlier.name == key.name) {
            reading.error(key.place, format!("key \"{}\" is already given in line {}", key.name, first.place.line));
        }
    }
}

/// A map with known keys.
#[derive(Debug)]
pub struct Fields<'a> {
    map: &'a [(Key, Node)],
    place: Place,
    asked: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// The fields of `node`, or `None` (and a problem) if it is no map.
    pub fn of(node: &'a Node, reading: &mut Reading<'_>) -> Option<Self> {
        let Value::Map(map) = &node.value else {
            wrong(node, "a map", reading);
            return None;
        };
        report_repeated(map, reading);
        Some(Self { map, place: node.place, asked: Vec::new() })
    }

    /// Where the map starts.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// The node of a key, marking the key as known.
    pub fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.asked.push(name);
        self.map.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// A field that may be missing or null.
    pub fn optional<T: FromNode>(&mut self, name: &'static str, reading: &mut Reading<'_>) -> Option<T> {
        let node = self.node(name)?;
        if node.value == Value::Null {
            return None;
        }
        T::from_node(node, reading)
    }

    /// A field that must be there; otherwise a problem is reported.
    pub fn required<T: FromNode>(&mut self, name: &'static str, reading: &mut Reading<'_>) -> Option<T> {
        let Some(node) = self.node(name) else {
            reading.error(self.place, format!("\"{name}\" is missing"));
            return None;
        };
        T::from_node(node, reading)
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self, reading: &mut Reading<'_>) {
        for (key, _) in self.map {
            if !self.asked.contains(&key.name.as_str()) {
                let hint = match suggest(&key.name, self.asked.iter().copied()) {
                    Some(name) => format!("; did you mean \"{name}\"?"),
                    None => format!("; known are {}", self.asked.join(", ")),
                };
                reading.error(key.place, format!("unknown key \"{}\"{hint}", key.name));
            }
        }
    }
}

/// The known word nearest to `word`, if one is near enough to be what was meant.
pub fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 5)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Declares an enum of words as they are written in YAML: with `ALL`, `name` and [`FromNode`].
macro_rules! words {
    ($(#[$doc:meta])* $visibility:vis enum $type:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $type {
            $($(#[$word_doc])* $variant,)+
        }

        impl $type {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is written.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(from)?;
                let found = Self::ALL.iter().copied().find(|value| value.name() == word);
                found.ok_or_else(|| serde::de::Error::unknown_variant(&word, &[$($word),+]))
            }
        }

        impl $crate::yaml::fields::FromNode for $type {
            fn from_node(
                node: &$crate::yaml::Node,
                reading: &mut $crate::yaml::fields::Reading<'_>,
            ) -> Option<Self> {
                let word = <String as $crate::yaml::fields::FromNode>::from_node(node, reading)?;
                let found = Self::ALL.iter().copied().find(|value| value.name() == word);
                if found.is_none() {
                    $crate::yaml::fields::unknown_word(node.place, &word, &[$($word),+], reading);
                }
                found
            }
        }
    };
}
pub(crate) use words;

/// Reports a word that is none of `known`.
pub fn unknown_word(place: Place, word: &str, known: &[&str], reading: &mut Reading<'_>) {
    let hint = match suggest(word, known.iter().copied()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("it must be one of {}", known.join(", ")),
    };
    reading.error(place, format!("unknown word \"{word}\"; {hint}"));
}
