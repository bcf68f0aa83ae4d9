"""Writes the golden files of this folder: a model as PyTorch's exporter makes it, and what ONNX Runtime says it scores.

    python -m venv env && env/bin/pip install torch onnx onnxscript onnxruntime
    env/bin/python tests/golden/typed/make.py

The model ranks for two tasks at once. Its inputs are `user` (int64, [n]), `recent` (int64, [n, 20], padded with zeros), its
mask `recent_mask` (bool, [n, 20]) and `dense` (float32, [n, 3]); its outputs are `click` and `buy`, probabilities of shape [n].
Ids are hashed inside the graph with exact integer arithmetic, so that two ids that differ in their last bit alone have
scores of their own: an id that is rounded on its way shows.

`two_tasks.json` holds rows as a pipeline gets them, and both scores of each.
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch

FOLDER = pathlib.Path(__file__).parent
BUCKETS, WIDTH, LENGTH, DENSE = 61, 4, 20, 3


def bucket(ids):
    return torch.remainder(ids, BUCKETS)


class TwoTasks(torch.nn.Module):
    """Embeddings of the user and of what the user has seen, beside numbers; one head for each task."""

    def __init__(self):
        super().__init__()
        self.users = torch.nn.Embedding(BUCKETS, WIDTH)
        self.items = torch.nn.Embedding(BUCKETS, WIDTH)
        self.hidden = torch.nn.Linear(2 * WIDTH + DENSE, 8)
        self.click = torch.nn.Linear(8, 1)
        self.buy = torch.nn.Linear(8, 1)

    def forward(self, user, recent, recent_mask, dense):
        there = recent_mask.to(torch.float32).unsqueeze(-1)
        seen = (self.items(bucket(recent)) * there).sum(dim=1) / there.sum(dim=1).clamp(min=1.0)
        hidden = torch.relu(self.hidden(torch.cat([self.users(bucket(user)), seen, dense], dim=1)))
        return torch.sigmoid(self.click(hidden)).squeeze(1), torch.sigmoid(self.buy(hidden)).squeeze(1)


def rows():
    random = np.random.default_rng(7)
    users = [1, 16_777_216, 16_777_217, 30_000_001, 9_007_199_254_740_992, 9_007_199_254_740_993, 2**63 - 1, 0]
    lengths = [0, 1, 20, 7, 3, 3, 19, 2]
    for user, length in zip(users, lengths):
        recent = [int(item) for item in random.integers(16_777_217, 2**62, length)]
        dense = [float(np.float32(number)) for number in random.normal(0.0, 1.0, DENSE)]
        yield {"user": user, "recent": recent, "dense": dense}


def main():
    torch.manual_seed(5)
    model = TwoTasks().eval()
    batch = torch.export.Dim("batch")
    example = (
        torch.tensor([3, 4]),
        torch.ones(2, LENGTH, dtype=torch.int64),
        torch.ones(2, LENGTH, dtype=torch.bool),
        torch.zeros(2, DENSE),
    )
    program = torch.onnx.export(
        model,
        example,
        input_names=["user", "recent", "recent_mask", "dense"],
        output_names=["click", "buy"],
        dynamic_shapes=({0: batch}, {0: batch}, {0: batch}, {0: batch}),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    proto = program.model_proto
    for node in proto.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del proto.graph.value_info[:]
    del proto.graph.metadata_props[:]
    for value in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        del value.metadata_props[:]
    onnx.checker.check_model(proto)
    path = FOLDER / "two_tasks.onnx"
    onnx.save(proto, path)

    given = list(rows())
    recent, mask = np.zeros((len(given), LENGTH), np.int64), np.zeros((len(given), LENGTH), bool)
    for number, row in enumerate(given):
        recent[number, : len(row["recent"])] = row["recent"]
        mask[number, : len(row["recent"])] = True
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    click, buy = session.run(
        ["click", "buy"],
        {
            "user": np.array([row["user"] for row in given], np.int64),
            "recent": recent,
            "recent_mask": mask,
            "dense": np.array([row["dense"] for row in given], np.float32),
        },
    )
    for row, one, other in zip(given, click, buy):
        row["click"], row["buy"] = float(one), float(other)
    lines = ",\n".join("  " + json.dumps(row) for row in given)
    (FOLDER / "two_tasks.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
