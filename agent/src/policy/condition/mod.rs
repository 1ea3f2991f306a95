//! Conditions in CEL, the Common Expression Language: what the other selectors cannot say.
//!
//! Only a part of CEL is let in ([`check`]): variables from a closed list, comparisons, `in`, a few functions of text, and
//! `exists` and `all` over one list at a time. What passes has a type everywhere, so that nothing can go wrong when it is
//! asked; and it takes at most as many steps as it has parts, times [`MAX_ITEMS`]. It sees one access and nothing else.

mod check;
mod facts;

use std::sync::{Arc, LazyLock};

use cel::{
    Context, Env, IdedExpr, Value,
    parser::{ParseError, Parser},
};

use self::facts::Facts;
pub use self::facts::VARIABLES;
use super::rule::Subject;

/// Most characters of a condition.
pub const MAX_TEXT: usize = 1024;
/// Most parts (variables, values, operators) of a condition.
pub const MAX_PARTS: usize = 256;
/// Deepest nesting of brackets and of `?:`. The parser needs about 20 KiB of stack for each in a debug build.
pub const MAX_DEPTH: u16 = 12;
/// Most items of a list that a condition sees; what comes after them is not looked at.
pub const MAX_ITEMS: usize = 64;

/// What every condition is asked in: the functions of CEL's standard, none of which knows a clock or a file.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition that was checked.
#[derive(Clone, Debug)]
pub struct Condition {
    text: String,
    expression: Arc<IdedExpr>,
    constant: bool,
    packages: bool,
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

/// Why a condition is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the condition is wrong at character {at}: {what}")]
pub struct ConditionError {
    /// Which character of it, from 1.
    pub at: usize,
    /// What is wrong there and what would be right.
    pub what: String,
}

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// It is too long, is no CEL, uses what is not let in, or is not true or false.
    pub fn compile(text: &str) -> Result<Self, ConditionError> {
        if text.chars().count() > MAX_TEXT {
            let what = format!("it is longer than {MAX_TEXT} characters; write several rules");
            return Err(ConditionError { at: MAX_TEXT + 1, what });
        }
        if let Some(at) = too_deep(text) {
            return Err(ConditionError { at, what: format!("brackets are nested more than {MAX_DEPTH} deep") });
        }
        let parser = Parser::new().max_recursion_depth(MAX_DEPTH);
        let (expression, places) = parser.parse_with_source_info(text).map_err(|errors| {
            let first = errors.errors.into_iter().min_by_key(|error| error.pos);
            first.map_or_else(
                || ConditionError { at: 1, what: "it cannot be read as CEL".to_owned() },
                |error| syntax(text, &error),
            )
        })?;
        let checked = check::check(&expression).map_err(|mistake| {
            let at = places.offset_for(mistake.part).map_or(1, |(start, _)| start as usize + 1);
            ConditionError { at, what: mistake.what }
        })?;
        let packages = expression.references().has_variable("brought_by");
        Ok(Self { text: text.to_owned(), expression: Arc::new(expression), constant: !checked.asks, packages })
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Does it ask for the package of the reader?
    #[must_use]
    pub fn names_packages(&self) -> bool {
        self.packages
    }

    /// What it says of every access, if it asks nothing of any.
    #[must_use]
    pub fn constant(&self) -> Option<bool> {
        let answer = || Value::resolve(&self.expression, &Context::with_env(Arc::clone(&ENVIRONMENT)));
        self.constant.then(|| answer() == Ok(Value::Bool(true)))
    }

    /// Does it hold for this access? `None` should it fail, which the check at the start rules out.
    #[must_use]
    pub(super) fn holds(&self, subject: &Subject<'_>) -> Option<bool> {
        let facts = Facts(*subject);
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.set_variable_resolver(&facts);
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(holds)) => Some(holds),
            _ => None,
        }
    }
}

/// The character with which brackets are nested too deep. Those in quotes count as well: nobody needs so many.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0u16;
    let at = text.chars().position(|character| {
        match character {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > MAX_DEPTH
    })?;
    Some(at + 1)
}

/// Lines and columns of the parser, from 1 and 0, become characters of the whole text.
fn syntax(text: &str, error: &ParseError) -> ConditionError {
    let (line, column) = (usize::try_from(error.pos.0).unwrap_or(1), usize::try_from(error.pos.1).unwrap_or(0));
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(|line| line.chars().count()).sum();
    // Its messages may quote the text; the first line says what is wrong.
    let what = error.msg.lines().next().unwrap_or("it cannot be read as CEL").to_owned();
    ConditionError { at: before + column.max(1), what }
}

#[cfg(test)]
mod tests;
