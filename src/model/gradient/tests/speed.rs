use std::time::Instant;

use crate::model::{
    gradient::{
        Loss,
        testing::{Fed, Trial, plain, random, uniform},
    },
    onnx::{
        Dimension::{Fixed, Named},
        Document, GraphBuilder,
        proto::data_type::{FLOAT, INT64},
    },
};

/// Layers of these widths on a value of the first width, with a probability at the end.
fn layers(graph: &mut GraphBuilder, input: &str, widths: &[usize]) {
    let mut value = input.to_owned();
    for (layer, pair) in widths.windows(2).enumerate() {
        let (weight, bias, sum) = (format!("w{layer}"), format!("b{layer}"), format!("z{layer}"));
        let spread = (2.0 / pair[0] as f32).sqrt();
        graph.initializer(&weight, pair, &uniform(&mut random(layer as u64), pair[0] * pair[1], -spread, spread));
        graph.initializer(&bias, &pair[1..], &vec![0.0; pair[1]]);
        graph.node("Gemm", &[&value, &weight, &bias], &sum);
        value = format!("a{layer}");
        let last = layer + 2 == widths.len();
        graph.node(if last { "Sigmoid" } else { "Relu" }, &[&sum], &value);
    }
    graph.output(&value, FLOAT, &[Named("batch"), Fixed(1)]);
}

fn report(what: &str, trial: &mut Trial) {
    let mut times: Vec<f64> = (0..220)
        .map(|_| {
            let start = Instant::now();
            trial.run_only();
            start.elapsed().as_secs_f64() * 1e3
        })
        .skip(20)
        .collect();
    times.sort_by(f64::total_cmp);
    eprintln!("{what}: least {:.3} ms, one in ten {:.3} ms, median {:.3} ms", times[0], times[20], times[100]);
}

#[test]
#[ignore = "a measurement: run with --nocapture on an idle machine"]
fn time_of_a_gradient_step_on_one_thread() {
    let mut graph = GraphBuilder::new("mlp");
    graph.input("x", FLOAT, &[Named("batch"), Fixed(256)]);
    layers(&mut graph, "x", &[256, 256, 128, 1]);
    let x = Fed::floats("x", &[512, 256], uniform(&mut random(9), 512 * 256, -1.0, 1.0));
    let document = Document::new(graph.finish());
    let mut trial = Trial::new(&document, &plain(Loss::BinaryCrossEntropy), vec![x], 1);
    report("256-256-128-1 at batch 512", &mut trial);

    let mut graph = GraphBuilder::new("embedding");
    graph.input("ids", INT64, &[Named("batch"), Fixed(26)]);
    graph.initializer("table", &[100_000, 16], &uniform(&mut random(8), 1_600_000, -0.05, 0.05));
    graph.whole_initializer("shape", &[2], &[-1, 416]);
    graph.node("Gather", &["table", "ids"], "rows");
    graph.node("Reshape", &["rows", "shape"], "x");
    layers(&mut graph, "x", &[416, 256, 128, 1]);
    let ids = (0..256 * 26).map(|at: i64| at * 7919 % 100_000).collect();
    let document = Document::new(graph.finish());
    let mut trial = Trial::new(&document, &plain(Loss::BinaryCrossEntropy), vec![Fed::ints("ids", &[256, 26], ids)], 1);
    report("26 look-ups of 16 in 100,000 rows, 416-256-128-1 at batch 256", &mut trial);
}
