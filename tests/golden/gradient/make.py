"""Writes the golden files of this folder: small ONNX models and what TensorFlow says their gradients are.

    python -m venv env && env/bin/pip install tensorflow-cpu onnx
    env/bin/python tests/golden/gradient/make.py

Each model is written twice and independently: as an ONNX graph in the way exporters write it, and with Keras layers
on the same weights, in float64. `NAME.json` holds one batch with its labels, weights and offsets, and the loss, the
prediction and the gradient of every weight by `tf.GradientTape`, rounded to float32. Layouts differ between the two
(Keras keeps LSTM gates as i, f, c, o and attention weights per head), so each weight has a function that brings Keras'
variable into the layout of the ONNX initializer; gradients go the same way, since it only moves elements.

The same program always writes the same bytes for one version of the two packages.
"""

import json
import os
import pathlib

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).parent
tf.keras.backend.set_floatx("float64")


class Graph:
    """Nodes in the order in which they compute, and weights that are float32 in the file and float64 in Keras."""

    def __init__(self, name, opset, seed):
        self.name, self.opset, self.random = name, opset, np.random.default_rng(seed)
        self.nodes, self.initializers, self.inputs, self.outputs = [], [], [], []
        self.weights = {}

    def input(self, name, element, dims):
        self.inputs.append(helper.make_tensor_value_info(name, element, dims))

    def output(self, name, dims):
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))

    def weight(self, name, *dims, deviation=0.4, mean=0.0):
        values = (self.random.standard_normal(dims) * deviation + mean).astype(np.float32)
        self.weights[name] = values
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def constant(self, name, values, element=np.int64):
        self.initializers.append(numpy_helper.from_array(np.array(values, element), name))
        return name

    def node(self, operator, inputs, outputs, **attributes):
        outputs = [outputs] if isinstance(outputs, str) else outputs
        self.nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[-1], **attributes))
        return outputs[-1]

    def save(self):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initializers)
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="golden")
        onnx.checker.check_model(model, full_check=True)
        (FOLDER / f"{self.name}.onnx").write_bytes(model.SerializeToString())


def tensor(values, kind):
    values = np.asarray(values)
    numbers = [int(v) if kind == "int64" else float(str(np.float32(v))) for v in values.reshape(-1)]
    return {"dims": list(values.shape), kind: numbers}


def finish(graph, loss_kind, inputs, label, weight, offset, forward, sources):
    """Writes both files.

    `forward(inputs)` gives the logits, of one class [batch, 1] or of several [batch, classes]. `sources` maps each
    initializer to the Keras variables it is made of and the function from their values to its layout.
    """
    graph.save()
    weight = np.asarray(weight, np.float32)
    with tf.GradientTape() as tape:
        logit = forward(inputs)
        if loss_kind == "softmax_cross_entropy":
            prediction = tf.nn.softmax(logit)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(label, logit)
        elif loss_kind == "binary_cross_entropy":
            prediction = tf.sigmoid(logit)
            shifted = logit + tf.constant(offset, tf.float64)[:, None]
            losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.constant(label, tf.float64), shifted)[:, 0]
        else:
            prediction = tf.sigmoid(logit)
            losses = tf.square(prediction - tf.constant(label, tf.float64))[:, 0]
        loss = tf.reduce_sum(losses * weight) / np.float64(weight.sum())
    variables = [variable for made_of, _ in sources.values() for variable in made_of]
    gradients = {id(v): tf.convert_to_tensor(g).numpy() for v, g in zip(variables, tape.gradient(loss, variables))}
    assert sources.keys() == graph.weights.keys(), sources.keys() ^ graph.weights.keys()
    # The same layout must bring Keras' weights to the file's: that proves the layouts of the gradients.
    for name, (made_of, layout) in sources.items():
        found = layout(*[variable.numpy() for variable in made_of])
        assert np.array_equal(found.astype(np.float32), graph.weights[name]), f"layout of {name}"
    kinds = {name: "int64" if values.dtype == np.int64 else "float32" for name, values in inputs.items()}
    golden = {
        "loss_kind": loss_kind,
        "inputs": {name: tensor(values, kinds[name]) for name, values in inputs.items()},
        "label": tensor(label, "int64" if loss_kind == "softmax_cross_entropy" else "float32"),
        "weight": tensor(weight, "float32"),
        "offset": tensor(offset, "float32"),
        "loss": float(loss.numpy()),
        "prediction": tensor(prediction.numpy(), "float32"),
        "gradients": {
            name: tensor(layout(*[gradients[id(v)] for v in made_of]), "float32")
            for name, (made_of, layout) in sources.items()
        },
    }
    (FOLDER / f"{graph.name}.json").write_text(json.dumps(golden) + "\n")


def same(values):
    return values


def transposed(values):
    return values.T


def variable(values):
    return tf.Variable(values.astype(np.float64))


def dense(kernel, bias):
    """A Keras layer with these weights, the kernel as Keras keeps it: [inputs, outputs]."""
    layer = tf.keras.layers.Dense(bias.shape[0])
    layer.build((None, kernel.shape[0]))
    layer.set_weights([kernel.astype(np.float64), bias.astype(np.float64)])
    return layer


def batch(random, rows, offsets=True):
    label = (random.random((rows, 1)) < 0.4).astype(np.float32)
    weight = random.uniform(0.2, 2.0, rows).astype(np.float32)
    offset = (random.normal(0, 1, rows) if offsets else np.zeros(rows)).astype(np.float32)
    return label, weight, offset


def mlp():
    """Standardised inputs and two hidden layers, with weights [outputs, inputs] as PyTorch exports them."""
    g = Graph("mlp", 17, 1)
    g.input("features", TensorProto.FLOAT, ["batch", 6])
    value = g.node("Sub", ["features", g.weight("mean", 6)], "centred")
    value = g.node("Mul", [value, g.weight("scale", 6, mean=1.0)], "scaled")
    for layer, (inputs, outputs) in enumerate([(6, 16), (16, 8), (8, 1)]):
        name = f"layers.{layer}"
        parts = [value, g.weight(f"{name}.weight", outputs, inputs), g.weight(f"{name}.bias", outputs)]
        value = g.node("Gemm", parts, f"{name}.out", alpha=1.0, beta=1.0, transB=1)
        if layer < 2:
            value = g.node("Relu", [value], f"{name}.relu")
    g.node("Sigmoid", [value], "probability")
    g.output("probability", ["batch", 1])

    w = g.weights
    mean, scale = variable(w["mean"]), variable(w["scale"])
    layers = [dense(w[f"layers.{n}.weight"].T, w[f"layers.{n}.bias"]) for n in range(3)]
    sources = {"mean": ([mean], same), "scale": ([scale], same)}
    for n, layer in enumerate(layers):
        sources[f"layers.{n}.weight"] = ([layer.kernel], transposed)
        sources[f"layers.{n}.bias"] = ([layer.bias], same)

    def forward(inputs):
        value = (inputs["features"] - mean) * scale
        for layer in layers[:-1]:
            value = tf.nn.relu(layer(value))
        return layers[-1](value)

    inputs = {"features": g.random.standard_normal((11, 6)).astype(np.float32)}
    finish(g, "binary_cross_entropy", inputs, *batch(g.random, 11), forward, sources)


def deepfm():
    """Three categorical fields in one table and four dense columns; second order as half of square of sum less sum of
    squares (Rendle 2010)."""
    g = Graph("deepfm", 17, 2)
    buckets, dim, rows = [20, 10, 5], 4, 13
    g.input("ids", TensorProto.INT64, ["batch", 3])
    g.input("dense", TensorProto.FLOAT, ["batch", 4])
    ids = g.node("Add", ["ids", g.constant("starts", [0, 20, 30])], "rows")
    vectors = g.node("Gather", [g.weight("embedding.weight", 35, dim), ids], "vectors", axis=0)
    first = g.node("Gather", [g.weight("linear.weight", 35, 1), ids], "first", axis=0)
    first = g.node("ReduceSum", [first, g.constant("axis_1", [1])], "first.sum", keepdims=0)
    total = g.node("ReduceSum", [vectors, "axis_1"], "total", keepdims=0)
    square_of_sum = g.node("Pow", [total, g.constant("two", 2.0, np.float32)], "square_of_sum")
    squares = g.node("Mul", [vectors, vectors], "squares")
    sum_of_squares = g.node("ReduceSum", [squares, "axis_1"], "sum_of_squares", keepdims=0)
    second = g.node("Sub", [square_of_sum, sum_of_squares], "second.both")
    second = g.node("Mul", [second, g.constant("half", 0.5, np.float32)], "second.half")
    second = g.node("ReduceSum", [second, "axis_1"], "second", keepdims=1)
    dense_first = g.node("MatMul", ["dense", g.weight("dense_linear.weight", 4, 1)], "dense_first")
    flat = g.node("Reshape", [vectors, g.constant("flat_shape", [-1, 3 * dim])], "flat")
    value = g.node("Concat", [flat, "dense"], "deep_input", axis=1)
    widths = [3 * dim + 4, 12, 6, 1]
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        name = f"deep.{layer}"
        parts = [value, g.weight(f"{name}.weight", outputs, inputs), g.weight(f"{name}.bias", outputs)]
        value = g.node("Gemm", parts, f"{name}.out", transB=1)
        if layer < 2:
            value = g.node("Relu", [value], f"{name}.relu")
    logit = g.node("Add", [first, second], "wide")
    logit = g.node("Add", [logit, dense_first], "wide.dense")
    logit = g.node("Add", [logit, value], "logit")
    g.node("Sigmoid", [logit], "probability")
    g.output("probability", ["batch", 1])

    # The oracle loops over pairs of fields instead of using Rendle's identity.
    w = g.weights
    table, linear, dense_linear = (variable(w[n]) for n in ["embedding.weight", "linear.weight", "dense_linear.weight"])
    layers = [dense(w[f"deep.{n}.weight"].T, w[f"deep.{n}.bias"]) for n in range(3)]
    sources = {
        "embedding.weight": ([table], same),
        "linear.weight": ([linear], same),
        "dense_linear.weight": ([dense_linear], same),
    }
    for n, layer in enumerate(layers):
        sources[f"deep.{n}.weight"] = ([layer.kernel], transposed)
        sources[f"deep.{n}.bias"] = ([layer.bias], same)

    def forward(inputs):
        numbers = tf.constant(inputs["dense"], tf.float64)
        starts = np.cumsum([0, *buckets[:-1]])
        fields = [tf.gather(table, inputs["ids"][:, n] + start) for n, start in enumerate(starts)]
        logit = tf.add_n([tf.gather(linear, inputs["ids"][:, n] + start) for n, start in enumerate(starts)])
        for a in range(3):
            for b in range(a):
                logit += tf.reduce_sum(fields[a] * fields[b], axis=1, keepdims=True)
        value = tf.concat([*fields, numbers], axis=1)
        for layer in layers[:-1]:
            value = tf.nn.relu(layer(value))
        return logit + numbers @ dense_linear + layers[-1](value)

    inputs = {
        "ids": np.stack([g.random.integers(0, n, rows) for n in buckets], axis=1),
        "dense": g.random.standard_normal((rows, 4)).astype(np.float32),
    }
    finish(g, "binary_cross_entropy", inputs, *batch(g.random, rows), forward, sources)


def transformer():
    """Two encoder layers (attention, normalisation, GELU, residuals as PyTorch exports them), mean pooling, classes."""
    g = Graph("transformer", 18, 3)
    vocab, length, width, heads, wide, classes, rows = 23, 5, 8, 2, 12, 3, 6
    g.input("tokens", TensorProto.INT64, ["batch", length])
    value = g.node("Gather", [g.weight("embedding.weight", vocab, width), "tokens"], "embedded")
    value = g.node("Add", [value, g.weight("position.weight", length, width)], "positioned")
    # The batch size, taken from the input's shape as exporters do it when the batch is dynamic.
    size = g.node("Shape", ["tokens"], "shape")
    size = g.node("Gather", [size, g.constant("zero", 0)], "size", axis=0)
    size = g.node("Unsqueeze", [size, g.constant("axis_0", [0])], "size.vector")
    heads_rest = g.constant("heads_rest", [length, heads, width // heads])
    split_shape = g.node("Concat", [size, heads_rest], "split_shape", axis=0)
    g.constant("joined_shape", [0, 0, width])
    root, one, half = (g.constant(n, v, np.float32) for n, v in [("root_two", 2**0.5), ("one", 1.0), ("half", 0.5)])
    g.constant("scale", (width // heads) ** -0.5, np.float32)

    def linear(name, value, inputs, outputs):
        product = g.node("MatMul", [value, g.weight(f"{name}.weight", inputs, outputs)], f"{name}.product")
        return g.node("Add", [g.weight(f"{name}.bias", outputs), product], f"{name}.out")

    def normalised(name, value):
        parts = [value, g.weight(f"{name}.weight", width, mean=1.0), g.weight(f"{name}.bias", width)]
        return g.node("LayerNormalization", parts, f"{name}.out", axis=-1, epsilon=1e-5)

    for layer in range(2):
        n = f"layers.{layer}"
        parts = {}
        for part, order in [("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])]:
            flat = linear(f"{n}.{part}", value, width, width)
            split = g.node("Reshape", [flat, split_shape], f"{n}.{part}.split")
            parts[part] = g.node("Transpose", [split], f"{n}.{part}.heads", perm=order)
        scores = g.node("MatMul", [parts["query"], parts["key"]], f"{n}.scores")
        scores = g.node("Mul", [scores, "scale"], f"{n}.scaled")
        attention = g.node("Softmax", [scores], f"{n}.attention", axis=-1)
        mixed = g.node("MatMul", [attention, parts["value"]], f"{n}.mixed")
        mixed = g.node("Transpose", [mixed], f"{n}.mixed.back", perm=[0, 2, 1, 3])
        mixed = g.node("Reshape", [mixed, "joined_shape"], f"{n}.joined")
        mixed = linear(f"{n}.projection", mixed, width, width)
        value = normalised(f"{n}.norm_1", g.node("Add", [value, mixed], f"{n}.residual_1"))
        inner = linear(f"{n}.up", value, width, wide)
        erf = g.node("Erf", [g.node("Div", [inner, root], f"{n}.divided")], f"{n}.erf")
        gelu = g.node("Mul", [inner, g.node("Add", [erf, one], f"{n}.erf_one")], f"{n}.gelu_two")
        inner = linear(f"{n}.down", g.node("Mul", [gelu, half], f"{n}.gelu"), wide, width)
        value = normalised(f"{n}.norm_2", g.node("Add", [value, inner], f"{n}.residual_2"))
    pooled = g.node("ReduceMean", [value, g.constant("axis_1", [1])], "pooled", keepdims=0)
    parts = [pooled, g.weight("head.weight", classes, width), g.weight("head.bias", classes)]
    logit = g.node("Gemm", parts, "logit", transB=1)
    g.node("Softmax", [logit], "probability", axis=-1)
    g.output("probability", ["batch", classes])

    w = g.weights
    table, position = variable(w["embedding.weight"]), variable(w["position.weight"])
    head = dense(w["head.weight"].T, w["head.bias"])
    sources = {"embedding.weight": ([table], same), "position.weight": ([position], same)}
    blocks = []
    for layer in range(2):
        n = f"layers.{layer}"
        attention = tf.keras.layers.MultiHeadAttention(heads, width // heads)
        attention.build((None, length, width), (None, length, width))
        in_heads = lambda values: values.astype(np.float64).reshape(*values.shape[:-1], heads, width // heads)
        weights = []
        for part in ["query", "key", "value"]:
            weights += [in_heads(w[f"{n}.{part}.weight"]), in_heads(w[f"{n}.{part}.bias"])]
        projection = w[f"{n}.projection.weight"].astype(np.float64).reshape(heads, width // heads, width)
        attention.set_weights([*weights, projection, w[f"{n}.projection.bias"].astype(np.float64)])
        matrix, vector = (lambda v: v.reshape(width, width)), (lambda v: v.reshape(width))
        names = [f"{n}.{part}" for part in ["query", "key", "value", "projection"]]
        for index, name in enumerate(names):
            sources[f"{name}.weight"] = ([attention.trainable_variables[2 * index]], matrix)
            sources[f"{name}.bias"] = ([attention.trainable_variables[2 * index + 1]], vector)
        norms = []
        for name in [f"{n}.norm_1", f"{n}.norm_2"]:
            norm = tf.keras.layers.LayerNormalization(epsilon=1e-5)
            norm.build((None, length, width))
            norm.set_weights([w[f"{name}.weight"].astype(np.float64), w[f"{name}.bias"].astype(np.float64)])
            sources[f"{name}.weight"], sources[f"{name}.bias"] = ([norm.gamma], same), ([norm.beta], same)
            norms.append(norm)
        up, down = (dense(w[f"{n}.{part}.weight"], w[f"{n}.{part}.bias"]) for part in ["up", "down"])
        for part, module in [("up", up), ("down", down)]:
            sources[f"{n}.{part}.weight"] = ([module.kernel], same)
            sources[f"{n}.{part}.bias"] = ([module.bias], same)
        blocks.append((attention, norms, up, down))
    sources["head.weight"], sources["head.bias"] = ([head.kernel], transposed), ([head.bias], same)

    def forward(inputs):
        value = tf.gather(table, inputs["tokens"]) + position
        for attention, norms, up, down in blocks:
            value = norms[0](value + attention(value, value))
            value = norms[1](value + down(tf.keras.activations.gelu(up(value), approximate=False)))
        return head(tf.reduce_mean(value, axis=1))

    inputs = {"tokens": g.random.integers(0, vocab, (rows, length))}
    _, weight, offset = batch(g.random, rows, offsets=False)
    label = g.random.integers(0, classes, rows)
    finish(g, "softmax_cross_entropy", inputs, label, weight, offset, forward, sources)


def embedding_lstm():
    """Ids to vectors, an LSTM, its last hidden state to one probability, which is fitted by squared error."""
    g = Graph("embedding_lstm", 17, 4)
    vocab, length, dim, hidden, rows = 30, 9, 4, 6, 7
    g.input("ids", TensorProto.INT64, ["batch", length])
    ids = g.node("Transpose", ["ids"], "steps", perm=[1, 0])
    value = g.node("Gather", [g.weight("embedding.weight", vocab, dim), ids], "embedded", axis=0)
    parts = [g.weight("lstm.W", 1, 4 * hidden, dim), g.weight("lstm.R", 1, 4 * hidden, hidden)]
    parts.append(g.weight("lstm.B", 1, 8 * hidden))
    g.node("LSTM", [value, *parts], ["", "last"], hidden_size=hidden)
    value = g.node("Squeeze", ["last", g.constant("axis_0", [0])], "state")
    logit = g.node("Gemm", [value, g.weight("head.weight", 1, hidden), g.weight("head.bias", 1)], "logit", transB=1)
    g.node("Sigmoid", [logit], "probability")
    g.output("probability", ["batch", 1])

    w = g.weights
    gates = lambda values, order: np.concatenate([np.split(values, 4, axis=-1)[n] for n in order], axis=-1)
    to_keras, to_onnx = [0, 2, 3, 1], [0, 3, 1, 2]
    table = variable(w["embedding.weight"])
    # ONNX has two biases and Keras one: the first of them is the weight of one more input that is always 1.
    lstm = tf.keras.layers.LSTM(hidden)
    lstm.build((None, length, dim + 1))
    first_bias, second_bias = np.split(w["lstm.B"][0], 2)
    kernels = [np.concatenate([w["lstm.W"][0].T, first_bias[None]]), w["lstm.R"][0].T, second_bias]
    lstm.set_weights([gates(values, to_keras).astype(np.float64) for values in kernels])
    head = dense(w["head.weight"].T, w["head.bias"])
    kernel, recurrent, lstm_bias = lstm.trainable_variables
    biases = lambda kernel, bias: gates(np.stack([kernel[dim], bias]), to_onnx).reshape(1, -1)
    sources = {
        "embedding.weight": ([table], same),
        "lstm.W": ([kernel], lambda kernel: gates(kernel[:dim], to_onnx).T[None]),
        "lstm.R": ([recurrent], lambda recurrent: gates(recurrent, to_onnx).T[None]),
        "lstm.B": ([kernel, lstm_bias], biases),
        "head.weight": ([head.kernel], transposed),
        "head.bias": ([head.bias], same),
    }
    inputs = {"ids": g.random.integers(0, vocab, (rows, length))}
    label, weight, offset = batch(g.random, rows, offsets=False)

    def forward(inputs):
        vectors = tf.gather(table, inputs["ids"])
        return head(lstm(tf.concat([vectors, tf.ones((rows, length, 1), tf.float64)], axis=2)))

    finish(g, "mean_squared_error", inputs, label, weight, offset, forward, sources)


if __name__ == "__main__":
    for make in [mlp, deepfm, transformer, embedding_lstm]:
        make()
