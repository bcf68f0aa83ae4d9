//! Objects of several kinds: which of several shapes one has, by the text of one of its members.
//!
//! ```text
//!   "oneOf": [{"properties": {"type": {"const": "view"}, ...}},         each schema names its texts, and no other is accepted
//!             {"properties": {"type": {"const": "order"}, ...}}]
//!
//!   "allOf": [{"if":   {"properties": {"type": {"const": "view"}}},     an object with another text is only held to what
//!              "then": {"properties": ...}}, ...]                       stands beside it
//! ```

use super::document::{Member, Node, Value};
use super::objects::{MemberPart, ObjectPart, Part};
use super::reading::{ANNOTATIONS, Reader};
use crate::event::rule::Shape;

/// What the schemas of a kind may say.
const KEYWORDS: [&str; 4] = ["type", "properties", "required", "additionalProperties"];

/// The kinds of an object.
#[derive(Debug, Clone)]
pub(super) struct KindsPart {
    /// The member whose text tells them apart.
    pub(super) by: String,
    /// Whether an object of no kind is accepted.
    pub(super) is_open: bool,
    /// The texts of each kind, and all its members.
    pub(super) kinds: Vec<(Vec<String>, ObjectPart)>,
}

/// The schema of a kind, with the condition under which it counts where that is said apart.
struct Branch<'d> {
    condition: Option<&'d Node<'d>>,
    schema: &'d Node<'d>,
}

/// Whether a list of schemas is one of kinds: each says what members an object has.
pub(super) fn are_kinds(node: &Node<'_>) -> bool {
    let says = ["properties", "$ref", "if"];
    let Value::List(schemas) = &node.value else { return false };
    !schemas.is_empty()
        && schemas.iter().all(|schema| {
            matches!(&schema.value, Value::Object(members) if members.iter().any(|member| says.contains(&member.name.as_str())))
        })
}

impl<'d> Reader<'d> {
    /// The kinds of an object whose other members are known; none where it has none, or after reporting what is wrong with them.
    pub(super) fn kinds(
        &mut self,
        members: &'d [Member<'d>],
        path: Option<&str>,
        level: usize,
        base: &ObjectPart,
    ) -> Option<KindsPart> {
        let find = |name: &str| members.iter().find(|member| member.name == name);
        let keyword = ["oneOf", "anyOf", "allOf", "if"].into_iter().find_map(find)?;
        let place = path.map_or_else(|| "a contract".to_owned(), |path| format!("property \"{path}\""));
        let branches = branches(keyword, find("then"), find("else"));
        let Some(branches) = branches else {
            let message = format!("{place}: \"{}\" is not a list of kinds", keyword.name);
            let suggestion = "write \"oneOf\": [...], or \"if\" with \"then\", or \"allOf\" of such".into();
            self.problem(keyword.offset, message, Some(suggestion));
            return None;
        };
        let is_open = branches.iter().any(|branch| branch.condition.is_some());
        let mut parts = Vec::new();
        for branch in &branches {
            let condition = match branch.condition {
                Some(condition) => Some(self.schema_of_kind(condition, path, level, &place)?),
                None => None,
            };
            parts.push((condition, self.schema_of_kind(branch.schema, path, level, &place)?));
        }
        let telling: Vec<&ObjectPart> =
            parts.iter().map(|(condition, part)| condition.as_ref().unwrap_or(part)).collect();
        let Some(by) = discriminator(&telling) else {
            let message = format!("{place}: no property tells the schemas of \"{}\" apart", keyword.name);
            let suggestion =
                "give one property a \"const\" of its own in each, such as \"type\": {\"const\": \"view\"}";
            self.problem(keyword.offset, message, Some(suggestion.into()));
            return None;
        };
        let is_required = |part: &ObjectPart| part.members.iter().any(|member| member.name == by && member.required);
        if !is_required(base) && !telling.iter().all(|part| is_required(part)) {
            let message = format!("{place}: \"{by}\" tells kinds apart and is not required");
            self.problem(keyword.offset, message, Some(format!("add \"{by}\" to \"required\"")));
        }
        let mut kinds = Vec::new();
        for (condition, part) in parts {
            let texts = texts(condition.as_ref().unwrap_or(&part), &by).unwrap_or_default().to_vec();
            let kind = self.merged(base, (condition, part), &by, (keyword.offset, &place));
            kinds.push((texts, kind));
        }
        Some(KindsPart { by, is_open, kinds })
    }

    fn schema_of_kind(
        &mut self,
        node: &'d Node<'d>,
        path: Option<&str>,
        level: usize,
        place: &str,
    ) -> Option<ObjectPart> {
        let open = self.open.len();
        let declared = self.declared(place, node);
        let part = declared.and_then(|declared| {
            for member in declared.members {
                let name = member.name.as_str();
                let is_object = || matches!(&member.node.value, Value::Text(name) if name == "object");
                if !KEYWORDS.contains(&name) && !ANNOTATIONS.contains(&name) {
                    let suggestion = format!("a kind has {}", KEYWORDS.join(", "));
                    self.problem(
                        member.offset,
                        format!("{place}: \"{name}\" of a kind is not supported"),
                        Some(suggestion),
                    );
                } else if name == "type" && !is_object() {
                    self.problem(member.offset, format!("{place}: a kind is of \"type\": \"object\""), None);
                }
            }
            self.object_part(declared.members, path, level)
        });
        self.open.truncate(open);
        part
    }

    /// All members of a kind: what stands beside the kinds, and its own.
    fn merged(
        &mut self,
        base: &ObjectPart,
        (condition, own): (Option<ObjectPart>, ObjectPart),
        by: &str,
        (offset, place): (usize, &str),
    ) -> ObjectPart {
        let mut members: Vec<MemberPart> = base.members.iter().filter(|member| member.name != by).cloned().collect();
        let beside = |name: &str| base.members.iter().find(|member| member.name == name);
        for member in own.members.iter().filter(|member| member.name != by) {
            if beside(&member.name).is_some() {
                let message = format!("{place}: \"{}\" is declared both beside the kinds and in one", member.name);
                self.problem(member.offset, message, Some("declare it in one of the two places".into()));
            } else if base.closed {
                let message =
                    format!("{place}: \"additionalProperties\": false beside the kinds refuses \"{}\"", member.name);
                self.problem(member.offset, message, Some("move it into each kind, with all that it has".into()));
            }
        }
        if let Some(member) = base.members.iter().find(|member| own.closed && member.name != by) {
            let message = format!(
                "{place}: \"additionalProperties\": false of a kind refuses \"{}\", which is declared beside it",
                member.name
            );
            self.problem(offset, message, Some("move it into the kind".into()));
        }
        let telling = condition.iter().flat_map(|part| &part.members).chain(&own.members).chain(&base.members);
        let telling = telling.filter(|member| member.name == by);
        let is_required = telling.clone().any(|member| member.required);
        members.extend(telling.take(1).map(|member| MemberPart { required: is_required, ..member.clone() }));
        members.extend(own.members.into_iter().filter(|member| member.name != by));
        ObjectPart { members, closed: base.closed || own.closed, kinds: None }
    }
}

/// The schemas of the kinds with their conditions; none where they are not written in a way that is known.
fn branches<'d>(
    keyword: &'d Member<'d>,
    then: Option<&'d Member<'d>>,
    otherwise: Option<&'d Member<'d>>,
) -> Option<Vec<Branch<'d>>> {
    match (keyword.name.as_str(), &keyword.node.value) {
        ("oneOf" | "anyOf", Value::List(schemas)) => {
            Some(schemas.iter().map(|schema| Branch { condition: None, schema }).collect())
        }
        ("allOf", Value::List(schemas)) => {
            let mut branches = Vec::new();
            for schema in schemas {
                branches.extend(conditional(schema)?);
            }
            Some(branches)
        }
        ("if", _) => {
            let first = Branch { condition: Some(&keyword.node), schema: &then?.node };
            let rest = match otherwise {
                Some(otherwise) => conditional(&otherwise.node)?,
                None => Vec::new(),
            };
            Some(std::iter::once(first).chain(rest).collect())
        }
        _ => None,
    }
}

/// A schema of `if` and `then`, and perhaps another such one for `else`.
fn conditional<'d>(node: &'d Node<'d>) -> Option<Vec<Branch<'d>>> {
    let Value::Object(members) = &node.value else { return None };
    let find = |name: &str| members.iter().find(|member| member.name == name);
    branches(find("if")?, find("then"), find("else"))
}

/// The texts that a kind accepts for a member; none where it has no such list.
fn texts<'p>(part: &'p ObjectPart, by: &str) -> Option<&'p [String]> {
    let member = part.members.iter().find(|member| member.name == by)?;
    match &member.part {
        Part::Value { rule, .. } if !rule.nullable => match &rule.shape {
            Shape::Text(rule) if !rule.allowed.is_empty() => Some(&rule.allowed),
            _ => None,
        },
        _ => None,
    }
}

/// The first member that has texts in each schema, none of them in two.
fn discriminator(parts: &[&ObjectPart]) -> Option<String> {
    let (first, _) = parts.split_first()?;
    let tells = |name: &str| {
        let mut all: Vec<&String> = Vec::new();
        for part in parts {
            all.extend(texts(part, name)?);
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        (all.len() == count).then_some(())
    };
    first.members.iter().find(|member| tells(&member.name).is_some()).map(|member| member.name.clone())
}
