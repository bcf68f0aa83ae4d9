//! What type a property is of, and which keywords that lets it have.

use super::document::{Node, Value};
use super::kind::{self, Kind};
use super::kinds::are_kinds;
use super::problem::did_you_mean;
use super::properties::Property;
use super::reading::ANNOTATIONS;
use crate::event::written::Written;

impl<'d> Property<'_, '_, 'd> {
    /// The kind, and whether null is a value too.
    pub(super) fn kind(&mut self, offset: usize) -> Option<(Kind, bool)> {
        let known = "write one of integer, number, string, boolean, array, object";
        let Some(declared) = self.find("type") else {
            if let Some(kind) = self.kind_of_values() {
                return Some(kind);
            }
            if ["oneOf", "anyOf"].into_iter().find_map(|keyword| self.find(keyword)).is_some_and(are_kinds) {
                return Some((Kind::Object, false));
            }
            self.problem(offset, "\"type\" is missing", Some(known.into()));
            return None;
        };
        let names: Vec<&Node<'_>> = match &declared.value {
            Value::List(names) => names.iter().collect(),
            _ => vec![declared],
        };
        let mut kinds: Vec<Kind> = Vec::new();
        let mut nullable = false;
        for node in names {
            let Value::Text(name) = &node.value else {
                self.problem(node.offset, "\"type\" must be a name or a list of names", Some(known.into()));
                return None;
            };
            match (name.as_str(), Kind::from_type(name)) {
                ("null", _) => nullable = true,
                (_, Some(found)) => {
                    kinds.push(found);
                    if kinds.len() > 1 && self.written(&kinds).is_none() {
                        let suggestion = "choose one type; \"null\" may stand beside it".into();
                        self.problem(node.offset, "a column has one type", Some(suggestion));
                        return None;
                    }
                }
                (_, None) => {
                    self.problem(node.offset, &format!("type \"{name}\" is not known"), Some(known.into()));
                    return None;
                }
            }
        }
        let Some(kind) = kinds.first().copied() else {
            self.problem(declared.offset, "\"type\" names no type for a column", Some(known.into()));
            return None;
        };
        let kind = match self.written(&kinds) {
            Some(written) => written,
            None if kind == Kind::Text && self.format() == Some("date-time") => Kind::DateTime,
            None if kind == Kind::Text && self.find("contentMediaType").is_some() => Kind::ObjectText,
            None => kind,
        };
        Some((kind, nullable))
    }

    /// The kind of the values that `enum` or `const` leave, without a type.
    fn kind_of_values(&self) -> Option<(Kind, bool)> {
        let values: Vec<&Node<'_>> = match (self.find("const"), self.find("enum").map(|node| &node.value)) {
            (Some(only), _) => vec![only],
            (None, Some(Value::List(values))) => values.iter().collect(),
            _ => return None,
        };
        let (nulls, values): (Vec<_>, Vec<_>) = values.into_iter().partition(|node| matches!(node.value, Value::Null));
        let kinds = [Kind::Text, Kind::Integer, Kind::Number, Kind::Boolean];
        let kind = kinds.into_iter().find(|kind| values.iter().all(|node| kind.holds(&node.value)))?;
        (!values.is_empty()).then_some((kind, !nulls.is_empty()))
    }

    fn format(&self) -> Option<&'d str> {
        match &self.find("format")?.value {
            Value::Text(format) => Some(format),
            _ => None,
        }
    }

    /// The kind of a property of these types whose format says that its strings hold numbers.
    fn written(&self, kinds: &[Kind]) -> Option<Kind> {
        let is_integer = match self.format()? {
            "int64" => true,
            "decimal" | "double" => false,
            _ => return None,
        };
        let number = if is_integer { Kind::Integer } else { Kind::Number };
        let holds_only = kinds.iter().all(|kind| *kind == Kind::Text || *kind == number);
        let or_bare = kinds.contains(&number);
        (holds_only && kinds.contains(&Kind::Text)).then_some(Kind::Written(Written { is_integer, or_bare }))
    }

    pub(super) fn check_keywords(&mut self, kind: Kind) {
        for member in self.members {
            let keyword = member.name.as_str();
            if keyword == "type" || ANNOTATIONS.contains(&keyword) {
                continue;
            }
            if !kind::keywords().any(|known| known == keyword) {
                let suggestion = did_you_mean(keyword, kind::keywords())
                    .unwrap_or_else(|| "remove it, or move it into \"description\"".into());
                self.problem(member.offset, &format!("keyword \"{keyword}\" is not supported"), Some(suggestion));
            } else if !kind.takes(keyword) {
                let message = format!("\"{keyword}\" cannot be checked for {}", kind.describe());
                self.problem(member.offset, &message, Some("remove it".into()));
            } else if keyword == "format" && self.format().is_none_or(|format| !kind.formats().contains(&format)) {
                let format = if let Value::Text(format) = &member.node.value { format } else { "" };
                let suggestion = "use \"date-time\", or move it into \"description\"".into();
                self.problem(member.node.offset, &format!("format \"{format}\" is not checked"), Some(suggestion));
            }
        }
    }
}
