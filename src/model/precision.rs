//! Numbers of other sizes at the ends of a model: it is run with float32 there.
//!
//! ```text
//!   vector ─▶ x.float32 ─▶ Cast ─▶ x float16 ─▶ … ─▶ p float64 ─▶ Cast ─▶ p.float32 ─▶ score
//! ```
//!
//! Only what is run is changed, never the file. What a float16 does not hold is refused before it is fed (`feeding`).

use std::collections::HashSet;

use super::{
    onnx::{
        Attribute, Document, all_names, declaration, node,
        proto::{
            GraphProto,
            data_type::{FLOAT, FLOAT16},
            type_proto::Value,
        },
    },
    route::Route,
    signature::ElementType,
};

/// Makes inputs of float16 take float32, which a node casts, and changes their routes to these.
pub(super) fn widen_inputs(document: &mut Document, routes: &mut [Route]) {
    let graph = document.graph_mut();
    for route in routes.iter_mut().filter(|route| route.element == ElementType::Float16) {
        let wide = free_name(graph, &route.input);
        let Some(input) = graph.input.iter_mut().find(|input| input.name() == route.input) else { continue };
        input.name = Some(wide.clone());
        if let Some(Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|r#type| r#type.value.as_mut()) {
            tensor.elem_type = Some(FLOAT);
        }
        graph.node.insert(0, cast(&wide, &route.input, FLOAT16));
        route.input = wide;
    }
}

/// Makes an output of other floats one of float32, and gives the name that it has then.
pub(super) fn float32_output(document: &mut Document, output: &str, element: ElementType) -> String {
    if !matches!(element, ElementType::Float16 | ElementType::Float64) {
        return output.to_owned();
    }
    let graph = document.graph_mut();
    let plain = free_name(graph, output);
    graph.node.push(cast(output, &plain, FLOAT));
    graph.output.push(declaration(&plain, FLOAT, None));
    plain
}

fn cast(from: &str, into: &str, element: i32) -> super::onnx::proto::NodeProto {
    node("Cast", &[from], &[into], &[("to", Attribute::Int(i64::from(element)))])
}

/// A name like that of a value that nothing in the graph has.
fn free_name(graph: &GraphProto, value: &str) -> String {
    let mut taken = HashSet::new();
    all_names(graph, &mut taken);
    let mut name = format!("{value}.float32");
    while taken.contains(&name) {
        name.push('_');
    }
    name
}

#[cfg(test)]
mod tests {
    use crate::feature::{ColumnForm, IfNull, VectorColumn};
    use crate::feature::{Inputs, Kind, Number};
    use crate::model::onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::{DOUBLE, FLOAT, FLOAT16},
    };
    use crate::model::{Binding, ModelError, ObjectiveError, Scorer, Session, lay_out, train};

    const COLUMNS: [&str; 2] = ["price", "user"];

    /// `price + user` in this type; a value of the name that casting would take is there already.
    fn document(element: i32) -> Document {
        let mut graph = GraphBuilder::new("sum");
        graph.input("x", element, &[Named("batch"), Fixed(2)]);
        graph.node("Identity", &["x"], "x.float32");
        graph.whole_initializer("axis", &[1], &[1]);
        graph.node("ReduceSum", &["x.float32", "axis"], "score");
        graph.output("score", element, &[Named("batch"), Fixed(1)]);
        Document::new(graph.finish())
    }

    fn bind(document: &Document, inputs: Option<&Inputs>) -> Scorer {
        let columns = COLUMNS.map(str::to_owned);
        let binding = Binding { inputs, columns: &columns, fingerprint: None, output: None };
        Session::from_bytes(&document.write(), 1).unwrap().bind(&binding).unwrap()
    }

    fn score(scorer: &mut Scorer, vectors: &[f32], rows: usize) -> Result<Vec<f32>, ModelError> {
        let mut scores = Vec::new();
        scorer.score(vectors, rows, &mut scores).map(|()| scores)
    }

    /// 0.1 is 0.0999755859375 in float16; the sum of 2048 and 1 is 2048 there, and exact in the others.
    #[test]
    fn a_score_is_computed_in_the_models_own_numbers() {
        let vectors = [0.1, 0.0, 2048.0, 1.0];
        let found = score(&mut bind(&document(FLOAT16), None), &vectors, 2).unwrap();
        assert_eq!(found, [0.099_975_586, 2048.0]);
        for element in [FLOAT, DOUBLE] {
            assert_eq!(score(&mut bind(&document(element), None), &vectors, 2).unwrap(), [0.1, 2049.0]);
        }
    }

    #[test]
    fn a_number_beyond_float16_is_refused_and_not_made_infinite() {
        let mut scorer = bind(&document(FLOAT16), None);
        assert_eq!(score(&mut scorer, &[65_504.0, 0.0], 1).unwrap(), [65_504.0]);
        assert_eq!(score(&mut scorer, &[-65_519.0, 0.0], 1).unwrap(), [-65_504.0]);
        insta::assert_snapshot!(
            score(&mut scorer, &[1.0, 2.0, 65_520.0, 0.0], 2).unwrap_err(),
            @r#"column "price" is 65520 in row 1, its model input is float16, which does not hold it"#
        );
    }

    /// Whole numbers above 2048 are not all there: 2049 would be scored as 2048.
    #[test]
    fn an_id_is_fed_to_float16_only_where_that_holds_it() {
        let column = |name: &str, is_id| VectorColumn {
            name: name.to_owned(),
            form: ColumnForm::Number { is_whole: is_id },
            is_id,
            if_null: IfNull::Refused,
        };
        let columns = [column("price", false), column("user", true)];
        let inputs = lay_out(&document(FLOAT16).write(), &columns, None).unwrap();
        assert_eq!(inputs.place(1).unwrap().kind, Kind::Int64);
        let mut scorer = bind(&document(FLOAT16), Some(&inputs));
        let mut of_user = |user: i64| {
            let mut row = vec![0.0; inputs.width()];
            inputs.place(1).unwrap().put(&mut row, 0, Number::Int64(user));
            score(&mut scorer, &row, 1)
        };
        assert_eq!(
            (of_user(2048).unwrap(), of_user(2050).unwrap(), of_user(-4100).unwrap()),
            (vec![2048.0], vec![2050.0], vec![-4100.0])
        );
        for user in [2049, 4098, -2049, 65_536, i64::MIN] {
            let refused = of_user(user).unwrap_err().to_string();
            assert!(refused.contains(&format!("column \"user\" is {user} in row 0")), "{refused}");
        }
    }

    #[test]
    fn a_model_of_other_numbers_is_not_trained() {
        let settings = train::TrainSettings {
            loss: crate::model::gradient::Loss::MeanSquaredError,
            optimizer: crate::model::optimiser::OptimizerSpec::Sgd {
                learning_rate: 0.1,
                momentum: 0.0,
                nesterov: false,
            },
            clip_norm: None,
            freeze: Vec::new(),
            unfreeze: Vec::new(),
            dropout: false,
            threads: 1,
            output: None,
            activation: None,
        };
        let columns = COLUMNS.map(str::to_owned);
        let binding = Binding { inputs: None, columns: &columns, fingerprint: None, output: None };
        let refused = |element| train::Trainer::new(document(element), &binding, &settings).unwrap_err();
        assert!(matches!(
            refused(FLOAT16),
            ModelError::Objective(ObjectiveError::OtherPrecision { what: "input", .. })
        ));
        insta::assert_snapshot!(refused(DOUBLE), @r#"output "score" is float64, and training computes in float32: export the model in float32 (PyTorch: model.float()), or remove [train]"#);
    }
}
