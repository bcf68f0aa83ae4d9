"""Writes the golden files of this folder: models in forms that are rewritten when they are read, and what they compute.

    python -m venv env && env/bin/pip install torch onnx onnxscript onnxruntime
    env/bin/python tests/golden/onnx/make.py

- `external.onnx` has its values in `weights.bin` and `parts/more.bin`: initializers, a constant, one inside a branch.
- `functions.onnx` is made of functions: nested, with attributes and defaults, with an input left out, in branches.
- `zip_map.onnx` and `zip_map_texts.onnx` end in a list of maps from class to probability.
- `set_7.onnx` to `set_12.onnx` use the forms of old operator sets.
- `trained_9.onnx` and `trained_12.onnx` are networks as PyTorch's exporter writes them for old operator sets.

`outputs.json` holds inputs of each, and what ONNX Runtime computes from the file as it is. `trained_N.json` holds a batch, its
loss and the gradient of every weight by PyTorch's own differentiation, in float64.
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

FOLDER = pathlib.Path(__file__).parent
FLOAT = TensorProto.FLOAT
random = np.random.default_rng(11)
outputs = {}


def weights(*dims):
    return (random.standard_normal(dims) * 0.5).astype(np.float32)


def float_input(name, *dims):
    return helper.make_tensor_value_info(name, FLOAT, dims)


def tensor(values):
    values = np.asarray(values)
    kind = "int64" if values.dtype == np.int64 else "float32"
    numbers = [int(v) if kind == "int64" else float(str(np.float32(v))) for v in values.reshape(-1)]
    return {"dims": list(values.shape), kind: numbers}


def keep(name, inputs, shown=lambda values: values):
    """What ONNX Runtime computes from the file as it lies there."""
    session = onnxruntime.InferenceSession(FOLDER / f"{name}.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    made = dict(zip(names, map(shown, session.run(names, inputs))))
    outputs[name] = {
        "inputs": {key: tensor(values) for key, values in inputs.items()},
        "outputs": {key: tensor(values) for key, values in made.items()},
    }


def write(name, nodes, inputs, results, initializers, opset, functions=(), ir_version=8, domains=()):
    graph = helper.make_graph(nodes, name, inputs, results, initializers)
    sets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, version) for domain, version in domains)]
    model = helper.make_model(
        graph, opset_imports=sets, functions=list(functions), ir_version=ir_version, producer_name="golden"
    )
    (FOLDER / f"{name}.onnx").write_bytes(model.SerializeToString())
    return model


def outside(values, name, file, offset):
    """A tensor whose values are appended to a file."""
    made = numpy_helper.from_array(values, name)
    path = FOLDER / file
    path.parent.mkdir(exist_ok=True)
    before = path.read_bytes() if path.exists() else b""
    path.write_bytes(before.ljust(offset, b"\x00") + made.raw_data)
    made.ClearField("raw_data")
    made.data_location = TensorProto.EXTERNAL
    for key, value in [("location", file), ("offset", str(offset)), ("length", str(values.nbytes))]:
        made.external_data.add(key=key, value=value)
    return made


def external():
    for file in ["weights.bin", "parts/more.bin"]:
        (FOLDER / file).unlink(missing_ok=True)
    w = outside(weights(3, 4), "w", "weights.bin", 0)
    half = outside(weights(4).astype(np.float16), "half", "weights.bin", 64)
    v = outside(weights(4, 1), "v", "parts/more.bin", 0)
    shift = outside(weights(1), "shift", "parts/more.bin", 16)
    # The whole rest of the file, as without a length.
    del shift.external_data[2]
    inner = outside(weights(1), "inner", "weights.bin", 72)
    branch = helper.make_graph(
        [helper.make_node("Add", ["z", "inner"], ["moved"])], "then", [], [float_input("moved", None, 1)], [inner]
    )
    other = helper.make_graph(
        [helper.make_node("Identity", ["z"], ["kept"])], "else", [], [float_input("kept", None, 1)]
    )
    nodes = [
        helper.make_node("Constant", [], ["by"], value=shift),
        helper.make_node("Cast", ["half"], ["bias"], to=FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "bias"], ["g"]),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["u"]),
        helper.make_node("Add", ["u", "by"], ["z"]),
        helper.make_node("Greater", ["by", "zero"], ["is_above"]),
        helper.make_node("If", ["is_above"], ["s"], then_branch=branch, else_branch=other),
        helper.make_node("Sigmoid", ["s"], ["p"]),
    ]
    zero = numpy_helper.from_array(np.array([-9.0], np.float32), "zero")
    write("external", nodes, [float_input("x", "n", 3)], [float_input("p", "n", 1)], [w, v, half, zero], 17)
    keep("external", {"x": weights(5, 3)})


def functions():
    def function(name, inputs, results, nodes, attributes=(), defaults=(), domain="own"):
        sets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        made = helper.make_function(domain, name, inputs, results, nodes, sets, list(attributes), list(defaults))
        return made

    def referring(operator, inputs, results, name, formal, kind, **others):
        node = helper.make_node(operator, inputs, results, **others)
        node.attribute.add(name=name, ref_attr_name=formal, type=kind)
        return node

    attribute = onnx.AttributeProto
    # alpha is given by the caller or not; Gemm has no bias where b is left out.
    dense = function(
        "dense",
        ["x", "w", "b"],
        ["y", "z"],
        [
            referring("Gemm", ["x", "w", "b"], ["z"], "beta", "weight_of_b", attribute.FLOAT),
            referring("bent", ["z"], ["y"], "slope", "slope", attribute.FLOAT, domain="own"),
        ],
        attributes=["weight_of_b"],
        defaults=[helper.make_attribute("slope", 0.25)],
    )
    bent = function(
        "bent",
        ["x"],
        ["y"],
        [referring("LeakyRelu", ["x"], ["t"], "alpha", "slope", attribute.FLOAT), helper.make_node("Tanh", ["t"], ["y"])],
        attributes=["slope"],
    )
    # Names inside stand for each call, also inside branches; both branches have a value of the same name.
    branch = lambda operator: helper.make_graph(
        [helper.make_node(operator, ["x", "half"], ["t"]), helper.make_node("bent", ["t"], ["inner"], domain="own")],
        operator,
        [],
        [float_input("inner", None, None)],
    )
    chosen = function(
        "chosen",
        ["x", "unused"],
        ["y"],
        [
            helper.make_node("Constant", [], ["half"], value_float=0.5),
            helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
            helper.make_node("Greater", ["total", "half"], ["is_above"]),
            helper.make_node(
                "If", ["is_above"], ["y"], then_branch=branch("Add"), else_branch=branch("Mul")
            ),
        ],
    )
    nodes = [
        helper.make_node("dense", ["x", "w", "b"], ["h", ""], domain="own", slope=0.5, name="first"),
        helper.make_node("dense", ["h", "v", ""], ["g", "raw"], domain="own", name="second", weight_of_b=2.0),
        helper.make_node("dense", ["h", "v", "c"], ["k", "unread"], domain="own", weight_of_b=3.0),
        helper.make_node("Add", ["g", "k"], ["both"]),
        helper.make_node("chosen", ["both"], ["p"], domain="own"),
    ]
    initializers = [
        numpy_helper.from_array(weights(*dims), name)
        for name, dims in [("w", (3, 4)), ("b", (4,)), ("v", (4, 2)), ("c", (2,)), ("dense_1/z", (1,))]
    ]
    nodes.append(helper.make_node("Add", ["raw", "dense_1/z"], ["q"]))
    results = [float_input(name, "n", 2) for name in ["p", "q"]]
    write(
        "functions", nodes, [float_input("x", "n", 3)], results, initializers, 17, [dense, bent, chosen], domains=[("own", 1)]
    )
    keep("functions", {"x": weights(4, 3)})


def zip_map(name, **classes):
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["columns"], axis=1),
        helper.make_node("ZipMap", ["columns"], ["probabilities"], domain="ai.onnx.ml", **classes),
        helper.make_node("ArgMax", ["z"], ["label"], axis=1, keepdims=0),
    ]
    (labels,) = classes.values()
    key = TensorProto.STRING if isinstance(labels[0], str) else TensorProto.INT64
    map_type = helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, None))
    maps = helper.make_value_info("probabilities", helper.make_sequence_type_proto(map_type))
    label = helper.make_tensor_value_info("label", TensorProto.INT64, ["n"])
    w = numpy_helper.from_array(weights(2, 3), "w")
    write(name, nodes, [float_input("x", "n", 2)], [label, maps], [w], 9, ir_version=4, domains=[("ai.onnx.ml", 1)])
    columns = lambda values: [[row[label] for label in labels] for row in values] if isinstance(values, list) else values
    shown = lambda values: np.array(columns(values), np.float32) if isinstance(values, list) else values
    keep(name, {"x": weights(4, 2)}, shown)


def old_set(opset):
    """One value after another through the forms of an operator set."""
    nodes, initializers, results = [], [], []

    def node(operator, inputs, output, **attributes):
        nodes.append(helper.make_node(operator, inputs, [output] if isinstance(output, str) else output, **attributes))

    def constant(name, values):
        initializers.append(numpy_helper.from_array(values, name))

    def result(name, rank):
        results.append(float_input(name, *[None] * rank))

    constant("w", weights(12, 12))
    node("MatMul", ["x", "w"], "z")
    constant("shape", np.array([0, 3, 4], np.int64))
    node("Reshape", ["z", "shape"], "cube")
    node("Softmax", ["cube"], "flattened", axis=1)
    result("flattened", 3)
    node("LogSoftmax", ["cube"], "along", axis=2)
    result("along", 3)
    node("Softmax", ["z"], "plain")
    result("plain", 2)
    node("Unsqueeze", ["z"], "wider", axes=[0, 2])
    node("Squeeze", ["wider"], "again", axes=[0])
    result("again", 3)
    node("ReduceSum", ["cube"], "sums", axes=[1], keepdims=0)
    result("sums", 2)
    node("ReduceSum", ["cube"], "all", keepdims=1)
    result("all", 3)
    node("Split", ["z"], ["left", "right"], axis=1, split=[5, 7])
    result("right", 2)
    node("Split", ["cube"], ["one", "two"], axis=2)
    result("two", 3)
    node("Dropout", ["z"], "dropped", **({"ratio": 0.3} if opset < 12 else {}))
    result("dropped", 2)
    for name in ["scale", "bias", "mean"]:
        constant(name, weights(3))
    constant("variance", np.abs(weights(3)) + np.float32(0.5))
    node("BatchNormalization", ["cube", "scale", "bias", "mean", "variance"], "normal", epsilon=1e-3)
    result("normal", 3)
    if opset < 11:
        node("Clip", ["z"], "clipped", min=-0.5)
        node("Clip", ["clipped"], "bounded", max=0.5)
        node("Pad", ["z"], "padded", pads=[0, 1, 0, 2], value=0.25)
    else:
        constant("low", np.array(-0.5, np.float32))
        constant("pads", np.array([0, 1, 0, 2], np.int64))
        constant("fill", np.array(0.25, np.float32))
        node("Clip", ["z", "low"], "bounded")
        node("Pad", ["z", "pads", "fill"], "padded")
    result("bounded", 2)
    result("padded", 2)
    if opset < 10:
        node("Slice", ["z"], "sliced", axes=[1], starts=[2], ends=[9])
        node("TopK", ["z"], ["best", "places"], k=3, axis=1)
    else:
        for name, value in [("start", 2), ("end", 9), ("axis", 1), ("k", 3)]:
            constant(name, np.array([value], np.int64))
        node("Slice", ["z", "start", "end", "axis"], "sliced")
        node("TopK", ["z", "k"], ["best", "places"], axis=1)
    result("sliced", 2)
    result("best", 2)
    if 9 <= opset < 11:
        constant("zeros", np.zeros((4, 12), np.float32))
        node("Scatter", ["zeros", "places", "best"], "scattered", axis=1)
        result("scattered", 2)
    inputs = [float_input("x", None, 12)]
    if opset < 9:
        # The format of these sets lists its initializers as inputs.
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in initializers]
    write(f"set_{opset}", nodes, inputs, results, initializers, opset, ir_version=3 if opset < 9 else 6)
    keep(f"set_{opset}", {"x": weights(4, 12)})


class Network(torch.nn.Module):
    """What rankers are made of: an embedding, attention over a list, a normalisation, dense layers."""

    def __init__(self):
        super().__init__()
        self.items = torch.nn.Embedding(9, 4)
        self.query = torch.nn.Linear(3, 4)
        self.norm = torch.nn.BatchNorm1d(7)
        self.hidden = torch.nn.Linear(7, 6)
        self.drop = torch.nn.Dropout(0.2)
        self.out = torch.nn.Linear(6, 1)

    def forward(self, recent, dense):
        seen = self.items(recent)
        match = (seen * self.query(dense).unsqueeze(1)).sum(dim=2)
        share = torch.softmax(match, dim=1).unsqueeze(2)
        pooled = (seen * share).sum(dim=1)
        joined = self.norm(torch.cat([pooled, dense], dim=1))
        hidden = torch.clamp(self.hidden(joined), min=0.0, max=2.0)
        return torch.sigmoid(self.out(self.drop(hidden)))


def trained(opset):
    torch.manual_seed(3)
    model = Network()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.tensor(weights(*parameter.shape)))
        model.norm.weight.add_(1.0)
        model.norm.running_mean.copy_(torch.tensor(weights(7)))
        model.norm.running_var.copy_(torch.tensor(np.abs(weights(7)) + np.float32(0.5)))
    model.eval()
    recent, dense = torch.tensor(random.integers(0, 9, (6, 5))), torch.tensor(weights(6, 3))
    path = FOLDER / f"trained_{opset}.onnx"
    torch.onnx.export(
        model,
        (recent, dense),
        path,
        input_names=["recent", "dense"],
        output_names=["p"],
        dynamic_axes={"recent": {0: "batch"}, "dense": {0: "batch"}, "p": {0: "batch"}},
        opset_version=opset,
        dynamo=False,
        # Batch normalisation stays an operator, and dropout a node.
        do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE,
    )
    model = model.double()
    label = torch.tensor(random.integers(0, 2, (6, 1))).double()
    weight = torch.tensor(random.uniform(0.5, 2.0, 6).astype(np.float32)).double()
    p = model(recent, dense.double())
    losses = torch.nn.functional.binary_cross_entropy(p, label, reduction="none").squeeze(1)
    loss = (losses * weight).sum() / weight.sum()
    loss.backward()
    golden = {
        "loss_kind": "binary_cross_entropy",
        "inputs": {"recent": tensor(recent.numpy()), "dense": tensor(dense.numpy())},
        "label": tensor(label.numpy()),
        "weight": tensor(weight.numpy()),
        "offset": tensor(np.zeros(6)),
        "loss": loss.item(),
        "prediction": tensor(p.detach().numpy()),
        "gradients": {name: tensor(parameter.grad.numpy()) for name, parameter in model.named_parameters()},
    }
    (FOLDER / f"trained_{opset}.json").write_text(json.dumps(golden) + "\n")


def main():
    external()
    functions()
    zip_map("zip_map", classlabels_int64s=[-1, 0, 7])
    zip_map("zip_map_texts", classlabels_strings=["buy", "see", "leave"])
    for opset in [7, 9, 10, 11, 12]:
        old_set(opset)
    for opset in [9, 12]:
        trained(opset)
    (FOLDER / "outputs.json").write_text(json.dumps(outputs, indent=1) + "\n")


if __name__ == "__main__":
    main()
