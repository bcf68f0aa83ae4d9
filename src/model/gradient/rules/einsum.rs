//! `Einsum`: sums of products named by letters.

use super::first;
use crate::model::{
    ModelError,
    gradient::context::Context,
    onnx::{
        Attribute,
        proto::{AttributeProto, NodeProto},
    },
};

/// `Y = Einsum("A,B->Y")`: with letters of `A` that neither `B` nor `Y` has left out, `dA = Einsum("Y,B->A")(g, B)`, the
/// same along the axes that were left out. With one operand, `dA = Einsum("Y->A")(g)`.
///
/// It follows from what the node means: an element of `A` is multiplied with the elements of `B` whose letters agree with
/// its own, into the elements of `Y` whose letters agree with both.
pub(super) fn einsum(context: &mut Context, node: &NodeProto, gradients: &[Option<String>]) -> Result<(), ModelError> {
    let Some((_, g)) = first(node, gradients) else { return Ok(()) };
    let Equation { operands, result } = read(context, node)?;
    for (position, (value, letters)) in node.input.iter().zip(&operands).enumerate() {
        if !context.needs_gradient(value) {
            continue;
        }
        let other = node.input.iter().zip(&operands).enumerate().find(|(other, _)| *other != position);
        let (mut inputs, mut terms) = (vec![g], result.clone());
        let mut known = result.clone();
        if let Some((_, (other, letters))) = other {
            inputs.push(other);
            known.push_str(letters);
            terms = format!("{terms},{letters}");
        }
        let kept: String = letters.chars().filter(|letter| known.contains(*letter)).collect();
        let mut gradient = g.to_owned();
        if kept != terms {
            // Attributes take words of closed lists. This one is made up: a few bytes for each node of a model.
            let equation: &'static str = format!("{terms}->{kept}").leak();
            gradient = context.emit("Einsum", &inputs, &[("equation", Attribute::Text(equation))]);
        }
        if kept.len() < letters.len() {
            let alone = letters.chars().enumerate().filter(|(_, letter)| !known.contains(*letter));
            let axes: Vec<i64> = alone.map(|(axis, _)| axis as i64).collect();
            let (axes, shape) = (context.ints(&axes), context.shape(value)?);
            gradient = context.emit("Unsqueeze", &[&gradient, &axes], &[]);
            gradient = context.emit("Expand", &[&gradient, &shape], &[]);
        }
        context.accumulate(value, gradient);
    }
    Ok(())
}

/// The letters of each operand's axes and of the result's.
#[derive(Debug, PartialEq, Eq)]
struct Equation {
    operands: Vec<String>,
    result: String,
}

/// Reads the node's equation and holds it against the shapes of its operands.
///
/// # Errors
/// A refusal that says which form is not supported.
fn read(context: &Context, node: &NodeProto) -> Result<Equation, ModelError> {
    let attribute = node.attribute.iter().find(|attribute| attribute.name() == "equation");
    let text = String::from_utf8_lossy(attribute.map_or(&[], AttributeProto::s));
    let equation = parse(&text).map_err(|reason| context.refuse(&format!("equation {text:?} {reason}")))?;
    let mut sizes = Vec::new();
    for (value, letters) in node.input.iter().zip(&equation.operands) {
        for (letter, dim) in letters.chars().zip(&context.kind(value)?.dims) {
            if sizes.iter().any(|(other, size)| *other == letter && size != dim) {
                return Err(context.refuse(&format!("equation {text:?} stretches an operand along {letter:?}")));
            }
            sizes.push((letter, *dim));
        }
    }
    Ok(equation)
}

/// The equation's parts, or what is wrong with it.
fn parse(text: &str) -> Result<Equation, &'static str> {
    let text: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    if text.contains("...") {
        return Err("has an ellipsis, which is not supported: write its letters out");
    }
    let Some((operands, result)) = text.split_once("->") else {
        return Err("leaves its result open, which is not supported: write it after ->");
    };
    let operands: Vec<String> = operands.split(',').map(str::to_owned).collect();
    if operands.len() > 2 {
        return Err("has more than two operands, which is not supported: take two at a time");
    }
    for letters in operands.iter().map(String::as_str).chain([result]) {
        if !letters.chars().all(|letter| letter.is_ascii_alphabetic()) {
            return Err("has other characters than letters");
        }
        if letters.chars().enumerate().any(|(axis, letter)| letters.chars().skip(axis + 1).any(|next| next == letter)) {
            return Err("names a letter twice in one operand, which is not supported: take the diagonal before");
        }
    }
    Ok(Equation { operands, result: result.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        gradient::{
            Loss, differentiate,
            testing::{Fed, Trial, agrees, plain, random, uniform},
        },
        onnx::{
            Attribute,
            Dimension::{Fixed, Named},
            Document, GraphBuilder,
            proto::data_type::FLOAT,
        },
    };
    use proptest::prelude::*;

    const LETTERS: [(char, usize); 5] = [('a', 2), ('b', 3), ('c', 1), ('d', 4), ('Z', 2)];

    /// Some letters in some order.
    fn letters(least: usize, most: usize) -> impl Strategy<Value = String> {
        let some = prop::sample::subsequence(LETTERS.map(|(letter, _)| letter).to_vec(), least..=most);
        some.prop_shuffle().prop_map(String::from_iter)
    }

    fn holds(operands: &[String], result: &str) {
        let equation = format!("{} -> {result}", operands.join(", "));
        let names = ["left", "right"];
        let mut tensors = Vec::new();
        for (position, letters) in operands.iter().enumerate() {
            let size = |letter| LETTERS.iter().find(|(other, _)| *other == letter).map_or(1, |(_, size)| *size);
            let dims: Vec<usize> = letters.chars().map(size).collect();
            let values = uniform(&mut random(position as u64), dims.iter().product(), 0.2, 1.0);
            tensors.push((names[position], dims, values));
        }
        let tensors: Vec<(&str, &[usize], Vec<f32>)> =
            tensors.iter().map(|(name, dims, values)| (*name, &dims[..], values.clone())).collect();
        let equation: &'static str = equation.leak();
        agrees(17, &tensors, |graph| {
            let attributes = [("equation", Attribute::Text(equation))];
            graph.node_of("Einsum", &names[..operands.len()], &["y"], &attributes);
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_form_has_its_gradient(
            operands in prop::collection::vec(letters(1, 3), 1..=2),
            chosen in letters(0, 4),
        ) {
            let result: String = chosen.chars().filter(|letter| operands.iter().any(|all| all.contains(*letter))).collect();
            holds(&operands, &result);
        }
    }

    #[test]
    fn forms_that_exporters_write_have_their_gradient() {
        for (operands, result) in [
            (vec!["ab", "bd"], "ad"),
            (vec!["abd", "Zbd"], "aZb"),
            (vec!["abZd", "aZdb"], "ab"),
            (vec!["a", "a"], ""),
            (vec!["abd"], "dab"),
            (vec!["abd"], ""),
        ] {
            let operands: Vec<String> = operands.into_iter().map(str::to_owned).collect();
            holds(&operands, result);
        }
    }

    fn document(equation: &'static str) -> Document {
        let mut graph = GraphBuilder::new("einsum");
        graph.input("x", FLOAT, &[Named("batch"), Named("time"), Fixed(3)]);
        graph.initializer("w", &[3], &[0.5, -0.3, 0.8]);
        graph.node_of("Einsum", &["x", "w"], &["y"], &[("equation", Attribute::Text(equation))]);
        graph.output("y", FLOAT, &[Named("batch"), Named("time")]);
        Document::new(graph.finish())
    }

    #[test]
    fn dimensions_may_vary() {
        for [batch, time] in [[1, 1], [4, 2], [2, 7]] {
            let x = uniform(&mut random(1), batch * time * 3, -1.0, 1.0);
            let x = Fed::floats("x", &[batch, time, 3], x);
            Trial::new(&document("btk,k->bt"), &plain(Loss::MeanSquaredError), vec![x], 2).agrees();
        }
    }

    #[test]
    fn other_forms_are_refused() {
        let refusal = |equation| differentiate(&document(equation), &plain(Loss::MeanSquaredError)).unwrap_err();
        insta::assert_snapshot!(refusal("btk,k"), @r#"operator Einsum of node "y" can't be differentiated: equation "btk,k" leaves its result open, which is not supported: write it after ->: to train the rest, freeze w"#);
        let reason = |equation| parse(equation).unwrap_err();
        insta::assert_snapshot!(reason("a...,b->a..."), @"has an ellipsis, which is not supported: write its letters out");
        insta::assert_snapshot!(reason("a,b,c->abc"), @"has more than two operands, which is not supported: take two at a time");
        insta::assert_snapshot!(reason("aa->a"), @"names a letter twice in one operand, which is not supported: take the diagonal before");
        insta::assert_snapshot!(reason("a1->a"), @"has other characters than letters");
    }
}
