//! The keywords of a property that is a value become a rule for its values.

use super::document::{Node, Value};
use super::kind::Kind;
use super::objects::Part;
use super::properties::Property;
use crate::event::rule::{Bound, IntegerRule, ListRule, NumberRule, Shape, TextRule, ValueRule};
use crate::event::token::Number;
use crate::event::written::Written;

impl<'d> Property<'_, '_, 'd> {
    /// The rule for the property's values; `None` after reporting why there is none.
    pub(super) fn rule(&mut self, kind: Kind, nullable: bool, offset: usize) -> Option<ValueRule> {
        let choice = self.choice(kind, nullable);
        let shape = match kind {
            Kind::Integer => Shape::Integer(self.integer(&choice)),
            Kind::Number => Shape::Number(self.number(&choice)),
            Kind::Written(Written { is_integer: true, .. }) => Shape::Integer(IntegerRule::default()),
            Kind::Written(_) => Shape::Number(NumberRule::default()),
            Kind::Text => Shape::Text(self.text(&choice)),
            Kind::DateTime => Shape::DateTime,
            Kind::Boolean => Shape::Boolean(choice.booleans()),
            Kind::List => Shape::List(self.list(offset)?),
            Kind::Object | Kind::ObjectText => return None,
        };
        // An enumeration without null excludes it, whatever the type says: that is JSON Schema's meaning.
        Some(ValueRule { shape, nullable: nullable && choice.has_null })
    }

    fn choice(&mut self, kind: Kind, nullable: bool) -> Choice<'d> {
        let listed: Option<Vec<&'d Node<'d>>> = match (self.find("enum"), self.find("const")) {
            _ if !kind.takes("enum") => None,
            (None, None) => None,
            (_, Some(only)) => Some(vec![only]),
            (Some(node), None) => match &node.value {
                Value::List(values) if !values.is_empty() => Some(values.iter().collect()),
                _ => {
                    self.problem(node.offset, "\"enum\" must be a list of values", None);
                    None
                }
            },
        };
        let Some(nodes) = listed else { return Choice { values: Vec::new(), has_null: true } };
        let mut choice = Choice::default();
        for node in nodes {
            match &node.value {
                Value::Null if nullable => choice.has_null = true,
                value if kind.holds(value) => choice.values.push(value),
                value => {
                    let message = format!("{} is not {}", show(value), kind.describe());
                    self.problem(node.offset, &message, None);
                }
            }
        }
        choice
    }

    fn integer(&mut self, choice: &Choice<'_>) -> IntegerRule {
        let mut rule = IntegerRule::default();
        // A bound that is no integer itself moves to the next integer inside the range; `as` saturates at the ends.
        if let Some((bound, exact)) = self.bound("minimum", "exclusiveMinimum") {
            let lowest = exact.unwrap_or_else(|| bound.value.ceil() as i64);
            let excluded = !bound.included && lowest as f64 <= bound.value;
            rule.minimum = lowest.saturating_add(i64::from(excluded));
        }
        if let Some((bound, exact)) = self.bound("maximum", "exclusiveMaximum") {
            let highest = exact.unwrap_or_else(|| bound.value.floor() as i64);
            let excluded = !bound.included && highest as f64 >= bound.value;
            rule.maximum = highest.saturating_sub(i64::from(excluded));
        }
        rule.allowed = choice.values.iter().filter_map(|value| number(value)?.as_i64()).collect();
        self.check_range(rule.minimum <= rule.maximum, "maximum", "exclusiveMaximum");
        rule
    }

    fn number(&mut self, choice: &Choice<'_>) -> NumberRule {
        let rule = NumberRule {
            minimum: self.bound("minimum", "exclusiveMinimum").map(|(bound, _)| bound),
            maximum: self.bound("maximum", "exclusiveMaximum").map(|(bound, _)| bound),
            allowed: choice.values.iter().filter_map(|value| Some(number(value)?.as_f64())).collect(),
        };
        let possible = match (rule.minimum, rule.maximum) {
            (Some(low), Some(high)) => {
                low.value < high.value || (low.value <= high.value && low.included && high.included)
            }
            _ => true,
        };
        self.check_range(possible, "maximum", "exclusiveMaximum");
        rule
    }

    fn text(&mut self, choice: &Choice<'_>) -> TextRule {
        let any = TextRule::default();
        let rule = TextRule {
            shortest: self.length("minLength").unwrap_or(any.shortest),
            longest: self.length("maxLength").unwrap_or(any.longest),
            allowed: choice
                .values
                .iter()
                .filter_map(|value| if let Value::Text(text) = value { Some(text.clone()) } else { None })
                .collect(),
        };
        self.check_range(rule.shortest <= rule.longest, "maxLength", "minLength");
        rule
    }

    fn list(&mut self, offset: usize) -> Option<ListRule> {
        let Some(items) = self.find("items") else {
            self.problem(offset, "\"items\" is missing", Some("add \"items\": {\"type\": ...}".into()));
            return None;
        };
        let Part::Value { rule: item, column, written: None } =
            self.reader.property(&format!("{}[]", self.name), self.level, items)?
        else {
            let suggestion = "leave it out of the contract: fields that it doesn't have are ignored".into();
            self.problem(items.offset, "arrays of objects are not supported", Some(suggestion));
            return None;
        };
        if matches!(item.shape, Shape::List(_)) {
            self.problem(items.offset, "arrays of arrays are not supported", None);
            return None;
        }
        if column.is_some() {
            self.problem(
                items.offset,
                "items have no column of their own",
                Some("move \"x-column\" to the array".into()),
            );
        }
        let rule = ListRule {
            item: Box::new(item),
            shortest: self.length("minItems").unwrap_or(0),
            longest: self.length("maxItems").unwrap_or(usize::MAX),
        };
        self.check_range(rule.shortest <= rule.longest, "maxItems", "minItems");
        Some(rule)
    }

    /// The bound that one of two keywords sets, with its exact value when it is an integer.
    fn bound(&mut self, included: &str, excluded: &str) -> Option<(Bound, Option<i64>)> {
        let node = match (self.find(included), self.find(excluded)) {
            (Some(_), Some(node)) => {
                let message = format!("\"{included}\" and \"{excluded}\" together");
                self.problem(node.offset, &message, Some("keep one of them".into()));
                return None;
            }
            (first, second) => first.or(second)?,
        };
        match number(&node.value) {
            Some(number) if number.is_finite() => {
                let bound = Bound { value: number.as_f64(), included: self.find(included).is_some() };
                Some((bound, number.as_i64()))
            }
            _ => {
                self.problem(node.offset, "a bound must be a number", None);
                None
            }
        }
    }

    fn length(&mut self, keyword: &str) -> Option<usize> {
        let node = self.find(keyword)?;
        let length = number(&node.value).and_then(|number| usize::try_from(number.as_i64()?).ok());
        if length.is_none() {
            self.problem(node.offset, &format!("\"{keyword}\" must be a whole number from 0"), None);
        }
        length
    }

    fn check_range(&mut self, possible: bool, keyword: &str, other: &str) {
        if !possible && let Some(node) = self.find(keyword).or_else(|| self.find(other)) {
            self.problem(node.offset, "no value fits into the range", Some("exchange its ends".into()));
        }
    }
}

/// The values that `enum` and `const` leave, all of the property's kind; empty when there are no such keywords.
#[derive(Debug, Default)]
struct Choice<'d> {
    values: Vec<&'d Value<'d>>,
    /// Whether null is among the values, or nothing is excluded.
    has_null: bool,
}

impl Choice<'_> {
    fn booleans(&self) -> Vec<bool> {
        self.values
            .iter()
            .filter_map(|value| if let Value::Boolean(value) = value { Some(*value) } else { None })
            .collect()
    }
}

fn number<'n, 'a>(value: &'n Value<'a>) -> Option<&'n Number<'a>> {
    if let Value::Number(number) = value { Some(number) } else { None }
}

fn show(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Boolean(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::List(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::event::Contract;
    use crate::event::rule::{IntegerRule, Shape, TextRule, ValueRule};

    fn parse(property: &str) -> Result<ValueRule, Vec<String>> {
        let text = format!(r#"{{"type": "object", "properties": {{"x": {property}}}}}"#);
        match Contract::parse(&text) {
            Ok(contract) => Ok(contract.fields()[0].rule().clone()),
            Err(problems) => Err(problems.into_iter().map(|problem| problem.message).collect()),
        }
    }

    fn integer(property: &str) -> (i64, i64) {
        match parse(property).expect("a rule").shape {
            Shape::Integer(IntegerRule { minimum, maximum, .. }) => (minimum, maximum),
            other => panic!("not an integer: {other:?}"),
        }
    }

    #[test]
    fn integer_bounds_move_inwards_to_the_next_integer() {
        let range = |low: &str, high: &str| integer(&format!(r#"{{"type": "integer", {low}, {high}}}"#));
        assert_eq!(range(r#""minimum": 1"#, r#""maximum": 5"#), (1, 5));
        assert_eq!(range(r#""exclusiveMinimum": 1"#, r#""exclusiveMaximum": 5"#), (2, 4));
        assert_eq!(range(r#""minimum": 0.5"#, r#""maximum": 4.5"#), (1, 4));
        assert_eq!(range(r#""exclusiveMinimum": 0.5"#, r#""exclusiveMaximum": 4.5"#), (1, 4));
        assert_eq!(range(r#""minimum": -1e300"#, r#""maximum": 1e300"#), (i64::MIN, i64::MAX));
        let huge = r#""maximum": 9007199254740993"#;
        assert_eq!(range(r#""minimum": 0"#, huge).1, 9_007_199_254_740_993);
    }

    #[test]
    fn null_is_a_value_only_when_type_and_enum_both_have_it() {
        assert!(parse(r#"{"type": ["string", "null"]}"#).expect("a rule").nullable);
        assert!(parse(r#"{"type": ["string", "null"], "enum": ["a", null]}"#).expect("a rule").nullable);
        assert!(!parse(r#"{"type": ["string", "null"], "enum": ["a"]}"#).expect("a rule").nullable);
        assert_eq!(
            parse(r#"{"type": "string", "enum": [null]}"#),
            Err(vec!["property \"x\": null is not a string".into()])
        );
    }

    #[test]
    fn const_is_an_enumeration_of_one() {
        let rule = parse(r#"{"type": "string", "const": "view"}"#).expect("a rule");
        assert_eq!(rule.shape, Shape::Text(TextRule { allowed: vec!["view".into()], ..TextRule::default() }));
    }

    #[test]
    fn keywords_that_cannot_hold_are_refused() {
        for (property, message) in [
            (r#"{"type": "integer", "minLength": 1}"#, "\"minLength\" cannot be checked for an integer"),
            (r#"{"type": "string", "pattern": "a+"}"#, "keyword \"pattern\" is not supported"),
            (r#"{"type": "number", "minimum": 2, "maximum": 1}"#, "no value fits into the range"),
            (r#"{"type": "string", "minLength": -1}"#, "\"minLength\" must be a whole number from 0"),
            (r#"{"type": "number", "exclusiveMinimum": true}"#, "a bound must be a number"),
            (r#"{"type": "array"}"#, "\"items\" is missing"),
            (r#"{"type": ["string", "integer"]}"#, "a column has one type"),
            (r#"{"type": "null"}"#, "\"type\" names no type for a column"),
            (r#"{"type": "string", "enum": []}"#, "\"enum\" must be a list of values"),
            (r#"{"type": "int"}"#, "type \"int\" is not known"),
            ("{}", "\"type\" is missing"),
        ] {
            assert_eq!(parse(property), Err(vec![format!("property \"x\": {message}")]), "{property}");
        }
    }
}
