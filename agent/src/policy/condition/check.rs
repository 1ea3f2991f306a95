//! What of CEL is let in, and the type of each part of it. Everything else is refused, with what to write instead.

use cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators},
};

use super::{MAX_PARTS, VARIABLES};
use crate::yaml::fields::suggest;

/// Type of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// Text.
    Text,
    /// A list of texts.
    Texts,
    /// A list of whole numbers; only written out.
    Ints,
}

impl Type {
    const fn name(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "a number",
            Self::Text => "text",
            Self::Texts => "a list of texts",
            Self::Ints => "a list of numbers",
        }
    }
}

/// What was found out.
#[derive(Debug)]
pub(super) struct Checked {
    /// It asks something of the access.
    pub(super) asks: bool,
}

/// What is wrong with a part.
#[derive(Debug)]
pub(super) struct Mistake {
    /// Number of the part, for its place.
    pub(super) part: u64,
    pub(super) what: String,
}

/// # Errors
/// The first part that is not let in.
pub(super) fn check(expression: &IdedExpr) -> Result<Checked, Mistake> {
    let mut checker = Checker { parts: 0, item: None, asks: false };
    match checker.type_of(expression)? {
        Type::Bool => Ok(Checked { asks: checker.asks }),
        other => Err(mistake(expression, format!("it must be true or false, this is {}", other.name()))),
    }
}

struct Checker<'a> {
    parts: usize,
    /// The variable of the list that is gone through, and its type.
    item: Option<(&'a str, Type)>,
    asks: bool,
}

fn mistake(at: &IdedExpr, what: impl Into<String>) -> Mistake {
    Mistake { part: at.id, what: what.into() }
}

impl<'a> Checker<'a> {
    fn type_of(&mut self, part: &'a IdedExpr) -> Result<Type, Mistake> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(mistake(part, format!("it has more than {MAX_PARTS} parts; write several rules")));
        }
        match &part.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => Ok(Type::Bool),
            Expr::Literal(LiteralValue::Int(_)) => Ok(Type::Int),
            Expr::Literal(LiteralValue::String(_)) => Ok(Type::Text),
            Expr::Literal(_) => Err(mistake(part, "only texts, whole numbers, true and false can be written here")),
            Expr::Ident(name) => self.variable(part, name),
            Expr::List(list) => self.list(part, &list.elements),
            Expr::Call(call) => self.call(part, call),
            Expr::Comprehension(loop_) => self.comprehension(part, loop_),
            Expr::Select(select) => {
                Err(mistake(part, format!("nothing has a field \"{}\"; variables are plain values here", select.field)))
            }
            Expr::Map(_) | Expr::Struct(_) => Err(mistake(part, "maps and messages are not used here")),
            Expr::Unspecified => Err(mistake(part, "something is missing")),
        }
    }

    fn variable(&mut self, part: &IdedExpr, name: &str) -> Result<Type, Mistake> {
        if let Some((item, kind)) = self.item
            && item == name
        {
            return Ok(kind);
        }
        if let Some((_, kind, _)) = VARIABLES.iter().find(|(known, ..)| *known == name) {
            self.asks = true;
            return Ok(*kind);
        }
        let known = || VARIABLES.iter().map(|(known, ..)| *known);
        let hint = match suggest(name, known()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("known are {}", known().collect::<Vec<_>>().join(", ")),
        };
        Err(mistake(part, format!("no variable \"{name}\"; {hint}")))
    }

    fn list(&mut self, part: &IdedExpr, items: &'a [IdedExpr]) -> Result<Type, Mistake> {
        let mut of = None;
        for item in items {
            let kind = self.type_of(item)?;
            if !matches!(kind, Type::Text | Type::Int) || of.is_some_and(|of| of != kind) {
                return Err(mistake(item, "a list holds texts only or numbers only"));
            }
            of = Some(kind);
        }
        match of {
            Some(Type::Int) => Ok(Type::Ints),
            Some(_) => Ok(Type::Texts),
            None => Err(mistake(part, "an empty list holds for nothing")),
        }
    }

    fn call(&mut self, part: &'a IdedExpr, call: &'a CallExpr) -> Result<Type, Mistake> {
        use Type::{Bool, Int, Ints, Text, Texts};
        let mut types = Vec::with_capacity(3);
        for argument in call.target.iter().map(|target| &**target).chain(&call.args) {
            types.push(self.type_of(argument)?);
        }
        let name = call.func_name.as_str();
        let of_text = call.target.is_some();
        match (name, types.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, [Bool, Bool]) | (operators::LOGICAL_NOT, [Bool]) => {
                Ok(Bool)
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) if left == right => Ok(Bool),
            (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS, [Int, Int])
            | (operators::IN, [Text, Texts] | [Int, Ints]) => Ok(Bool),
            (operators::CONDITIONAL, [Bool, left, right]) if left == right => Ok(*left),
            ("startsWith" | "endsWith" | "contains", [Text, Text]) if of_text => Ok(Bool),
            ("size", [Text | Texts | Ints]) => Ok(Int),
            _ => Err(mistake(part, wrong_call(name, &types))),
        }
    }

    fn comprehension(&mut self, part: &'a IdedExpr, over: &'a ComprehensionExpr) -> Result<Type, Mistake> {
        const ONLY: &str = "of what goes through lists only LIST.exists(x, ...) and LIST.all(x, ...) are let in";
        if self.item.is_some() {
            return Err(mistake(part, "a list within a list is not gone through; write several rules"));
        }
        let item = match self.type_of(&over.iter_range)? {
            Type::Texts => Type::Text,
            Type::Ints => Type::Int,
            other => return Err(mistake(&over.iter_range, format!("it must be a list, this is {}", other.name()))),
        };
        let name = over.iter_var.as_str();
        if VARIABLES.iter().any(|(known, ..)| *known == name) {
            return Err(mistake(part, format!("\"{name}\" is a variable already; use another name for the item")));
        }
        // As the macros are expanded: `exists` gathers with `||`, `all` with `&&`; what they test is the second operand.
        let gathers = match (&over.accu_init.expr, &over.loop_step.expr) {
            (Expr::Literal(LiteralValue::Boolean(_)), Expr::Call(step))
                if matches!(step.func_name.as_str(), operators::LOGICAL_OR | operators::LOGICAL_AND) =>
            {
                step.args.get(1)
            }
            _ => None,
        };
        let plain =
            over.iter_var2.is_none() && matches!(&over.result.expr, Expr::Ident(result) if *result == over.accu_var);
        let Some(test) = gathers.filter(|_| plain) else { return Err(mistake(part, ONLY)) };
        self.item = Some((name, item));
        let tested = self.type_of(test);
        self.item = None;
        match tested? {
            Type::Bool => Ok(Type::Bool),
            other => Err(mistake(test, format!("it must be true or false, this is {}", other.name()))),
        }
    }
}

fn wrong_call(name: &str, types: &[Type]) -> String {
    let operator = |name: &str| match name {
        operators::IN => "in".to_owned(),
        name => name.trim_matches('_').to_owned(),
    };
    let given = types.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and ");
    match name {
        operators::LOGICAL_AND
        | operators::LOGICAL_OR
        | operators::LOGICAL_NOT
        | operators::EQUALS
        | operators::NOT_EQUALS
        | operators::LESS
        | operators::LESS_EQUALS
        | operators::GREATER
        | operators::GREATER_EQUALS
        | operators::IN
        | operators::CONDITIONAL
        | "startsWith"
        | "endsWith"
        | "contains"
        | "size" => format!("\"{}\" does not go with {given}", operator(name)),
        _ => format!(
            "\"{}\" is not let in; there are ! && || ?: == != < <= > >= in, TEXT.startsWith(), .endsWith(), .contains(), \
             size(), LIST.exists() and LIST.all()",
            operator(name)
        ),
    }
}
