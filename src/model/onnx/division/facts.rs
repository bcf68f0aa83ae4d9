//! What the operators of ONNX make of whole numbers.
//!
//! Source: the operator schemas of ONNX 1.20, and those of the domains `ai.onnx.ml` and `com.microsoft`. An output has the
//! element type of the first input unless a rule here says otherwise; an operator of the other domains gives floats unless a
//! rule says otherwise.

use super::{AttributeProto, NodeProto, TensorProto};
use crate::model::onnx::{
    proto::data_type::{BOOL, DOUBLE, FLOAT, INT32, INT64},
    whole_values,
};

/// Other types of whole numbers: uint8, int8, uint16, int16, uint32, uint64.
const NARROW_OR_UNSIGNED: [i32; 6] = [2, 3, 4, 5, 12, 13];

/// What is known of a value: nothing, by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) is_whole: bool,
    pub(super) bound: Bound,
}

/// How far down the elements of a value can go. What is more is also less: a size is not negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bound {
    /// Anywhere.
    #[default]
    Any,
    /// Not to minus one.
    NotMinusOne,
    /// Not below zero.
    NotNegative,
    /// Not below zero, and no higher than shapes go, so that products and sums don't overflow.
    Size,
}

impl Fact {
    /// Of what is true or false: 1 or 0 as a number.
    const TRUTH: Self = Self { is_whole: false, bound: Bound::Size };

    fn whole(bound: Bound) -> Self {
        Self { is_whole: true, bound }
    }

    /// Of any value of this element type.
    pub(super) fn of_type(element: i32) -> Self {
        match element {
            BOOL => Self::TRUTH,
            INT32 | INT64 => Self::whole(Bound::Any),
            _ => Self { is_whole: NARROW_OR_UNSIGNED.contains(&element), bound: Bound::Any },
        }
    }

    /// What is known of a value that both say something of.
    pub(super) fn and(self, other: Self) -> Self {
        Self { is_whole: self.is_whole || other.is_whole, bound: self.bound.max(other.bound) }
    }

    pub(super) fn constant(tensor: &TensorProto) -> Self {
        let bound = whole_values(tensor).map_or(Bound::Any, |values| bound_of(&values));
        Self { bound, ..Self::of_type(tensor.data_type()) }
    }
}

/// Of constants. A division by zero is an error of the run, which costs a row; by minus one it can end the process.
fn bound_of(values: &[i64]) -> Bound {
    const LARGEST_SIZE: i64 = 1 << 20;
    match values.iter().fold((i64::MAX, i64::MIN), |(least, most), value| (least.min(*value), most.max(*value))) {
        (0.., ..=LARGEST_SIZE) => Bound::Size,
        (0.., _) => Bound::NotNegative,
        _ if !values.contains(&-1) => Bound::NotMinusOne,
        _ => Bound::Any,
    }
}

/// What an operator makes of its inputs, for one of its outputs.
pub(super) fn of_output(node: &NodeProto, inputs: &[Fact], output: usize) -> Fact {
    let input = |nth: usize| inputs.get(nth).copied().unwrap_or_default();
    match node.domain() {
        "" | "ai.onnx" => standard(node, inputs, output),
        "ai.onnx.ml" => match (node.op_type(), output) {
            ("ArrayFeatureExtractor", _) => input(0),
            ("Binarizer" | "Imputer", _) => Fact { bound: Bound::Any, ..input(0) },
            ("LabelEncoder", _) if has(node, &["values_int64s"]) => Fact::whole(Bound::Any),
            ("LabelEncoder", _) => tensor(node, "values_tensor").map(Fact::constant).unwrap_or_default(),
            // From texts to numbers, or back.
            ("CategoryMapper", _) => Fact { is_whole: !input(0).is_whole, bound: Bound::Any },
            (_, 0) if has(node, &["classlabels_int64s", "classlabels_ints"]) => Fact::whole(Bound::Any),
            _ => Fact::default(),
        },
        _ if node.op_type() == "MurmurHash3" => Fact::whole(Bound::Any),
        _ => Fact::default(),
    }
}

fn standard(node: &NodeProto, inputs: &[Fact], output: usize) -> Fact {
    let input = |nth: usize| inputs.get(nth).copied().unwrap_or_default();
    let first = input(0);
    let with = |bound| Fact { bound, ..first };
    let least = inputs.iter().map(|fact| fact.bound).min().unwrap_or_default();
    let most = inputs.iter().map(|fact| fact.bound).max().unwrap_or_default();
    match (node.op_type(), output) {
        ("Constant", _) => constant(node),
        ("ConstantOfShape", _) => tensor(node, "value").map(Fact::constant).unwrap_or_default(),
        ("Shape" | "Size", _) => Fact::whole(Bound::Size),
        ("ArgMax" | "ArgMin" | "NonMaxSuppression" | "NonZero" | "SequenceLength", _)
        | ("MaxPool" | "StringSplit" | "TopK", 1)
        | ("Unique", 1..) => Fact::whole(Bound::NotNegative),
        ("ConvInteger" | "DynamicQuantizeLinear" | "MatMulInteger" | "Multinomial" | "QuantizeLinear", 0)
        | ("DynamicQuantizeLinear", 2)
        | ("QLinearConv" | "QLinearMatMul", _) => Fact::whole(Bound::Any),
        (
            "And" | "Equal" | "Greater" | "GreaterOrEqual" | "IsInf" | "IsNaN" | "Less" | "LessOrEqual" | "Not" | "Or"
            | "RegexFullMatch" | "Xor",
            _,
        )
        | ("Dropout", 1) => Fact::TRUTH,
        (
            "BlackmanWindow" | "DequantizeLinear" | "HammingWindow" | "HannWindow" | "MelWeightMatrix"
            | "TfIdfVectorizer",
            _,
        )
        | ("DynamicQuantizeLinear", 1) => Fact::default(),
        ("Cast", _) => {
            let to = number(node, "to").unwrap_or_default();
            // Narrower types do not hold every size.
            let is_kept = first.bound == Bound::Size && matches!(to, INT32 | INT64 | FLOAT | DOUBLE);
            let known = Fact::of_type(to);
            if is_kept { Fact { bound: Bound::Size, ..known } } else { known }
        }
        ("SequenceEmpty", _) => number(node, "dtype").map(Fact::of_type).unwrap_or_default(),
        ("CastLike", _) => Fact { bound: Bound::Any, ..input(1) },
        ("Bernoulli" | "EyeLike" | "RandomNormalLike" | "RandomUniformLike", _) => {
            number(node, "dtype").map_or(with(Bound::Any), Fact::of_type)
        }
        ("Where", _) => {
            Fact { is_whole: input(1).is_whole || input(2).is_whole, bound: input(1).bound.min(input(2).bound) }
        }
        ("OneHot", _) => input(2),
        ("Concat" | "Min", _) => with(least),
        ("Max", _) => with(if most >= Bound::NotNegative { least.max(Bound::NotNegative) } else { Bound::Any }),
        ("Clip", _) => {
            let most = inputs.get(2).filter(|_| node.input.get(2).is_some_and(|name| !name.is_empty()));
            let is_bounded = |fact: &Fact| fact.bound >= Bound::NotNegative;
            with(if is_bounded(&input(1)) && most.is_none_or(is_bounded) { Bound::NotNegative } else { Bound::Any })
        }
        // The remainder has the sign of the divisor, unless it is that of C.
        ("Mod", _) if input(1).bound >= Bound::NotNegative && number(node, "fmod").unwrap_or(0) == 0 => {
            with(Bound::NotNegative)
        }
        ("Relu", _) => with(Bound::NotNegative),
        ("Add" | "Mul", _) if least == Bound::Size => with(Bound::Size),
        ("ReduceProd" | "ReduceSum", _) if first.bound == Bound::Size => first,
        ("Div", _) if least >= Bound::NotNegative => with(least),
        (
            "Compress" | "Expand" | "Flatten" | "Gather" | "GatherElements" | "GatherND" | "Identity" | "ReduceMax"
            | "ReduceMin" | "Reshape" | "Slice" | "Split" | "Squeeze" | "Tile" | "Transpose" | "Unsqueeze",
            _,
        ) => first,
        _ => with(Bound::Any),
    }
}

/// What a node gives that runs graphs, of which these are the results.
pub(super) fn of_result(node: &NodeProto, inputs: &[Fact], results: &[Vec<Fact>], output: usize) -> Fact {
    // A loop's graph also says whether it goes on.
    let place = if node.op_type() == "Loop" { output + 1 } else { output };
    let all = results.iter().filter_map(|results| results.get(place));
    // What is carried along is what it was where nothing runs.
    let states = match node.op_type() {
        "Loop" => 2..inputs.len(),
        "Scan" => 0..inputs.len().saturating_sub(number(node, "num_scan_inputs").unwrap_or(0).max(0) as usize),
        _ => 0..0,
    };
    let given = inputs.get(states).and_then(|states| states.get(output));
    let all = all.chain(given).copied();
    all.reduce(|one, other| Fact { is_whole: one.is_whole || other.is_whole, bound: one.bound.min(other.bound) })
        .unwrap_or_default()
}

/// Whether an input of the graph of a `Loop` or `Scan` is given whole numbers, from outside or by its last round.
pub(super) fn is_given_whole(node: &NodeProto, inputs: &[Fact], results: &[Fact], input: usize) -> bool {
    let is_whole =
        |facts: &[Fact], nth: Option<usize>| nth.and_then(|nth| facts.get(nth)).is_some_and(|fact| fact.is_whole);
    match node.op_type() {
        // The number of the round, the condition, and what is carried along.
        "Loop" => input == 0 || input > 1 && (is_whole(inputs, Some(input)) || is_whole(results, Some(input - 1))),
        // Of operator set 8, the first input says how long the rows are.
        "Scan" => is_whole(inputs, Some(input)) || is_whole(results, Some(input)),
        _ => false,
    }
}

fn constant(node: &NodeProto) -> Fact {
    let whole = node.attribute.iter().find_map(|attribute| match attribute.name() {
        "value_int" => attribute.i.map(|value| vec![value]),
        "value_ints" => Some(attribute.ints.clone()),
        _ => None,
    });
    let whole = whole.map(|values| Fact::whole(bound_of(&values)));
    whole.or_else(|| tensor(node, "value").map(Fact::constant)).unwrap_or_default()
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

fn tensor<'a>(node: &'a NodeProto, name: &str) -> Option<&'a TensorProto> {
    attribute(node, name)?.t.as_deref()
}

fn number(node: &NodeProto, name: &str) -> Option<i32> {
    attribute(node, name)?.i.and_then(|number| i32::try_from(number).ok())
}

fn has(node: &NodeProto, names: &[&str]) -> bool {
    names.iter().any(|name| attribute(node, name).is_some_and(|found| !found.ints.is_empty() || found.s.is_some()))
}
