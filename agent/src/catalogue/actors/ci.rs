//! `ci` of an actor: what the variables of a CI system tell, and how it is told of findings.
//!
//! | key | holds |
//! | --- | --- |
//! | `facts` | for each word of [`Fact`] the variables that tell it, the first that is set counts; or texts with variables in braces |
//! | `annotations` | a word of [`Protocol`]: how lines of output become annotations |
//! | `summary` | the variable that names the file for a step's summary |

use crate::{
    lineage::ci::{Fact, Protocol, System, Template},
    yaml::{
        Node,
        fields::{Fields, FromNode, Reading, Table, unknown_word},
    },
};

impl FromNode for System {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let mut fields = Fields::of(node, reading)?;
        let facts: Option<Table<Vec<Template>>> = fields.required("facts", reading);
        let annotations: Option<Protocol> = fields.optional("annotations", reading);
        let summary = fields.optional("summary", reading);
        fields.finish(reading);
        let mut told = Vec::new();
        for (key, templates) in facts?.0 {
            match Fact::ALL.iter().find(|fact| fact.name() == key.name) {
                Some(fact) => told.push((*fact, templates)),
                None => {
                    let known: Vec<&str> = Fact::ALL.iter().map(|fact| fact.name()).collect();
                    unknown_word(key.place, &key.name, &known, reading);
                }
            }
        }
        Some(Self { facts: told, annotations, summary })
    }
}

impl FromNode for Template {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        let template = Self::parse(&text);
        if template.is_none() {
            reading
                .error(node.place, format!("\"{text}\" must be a variable's name, or text with names in {{braces}}"));
        }
        template
    }
}
