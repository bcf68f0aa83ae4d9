"""PyTorch through both of its exporters; `dynamo=True` is the one that it uses unless told."""

import numpy as np
import torch
from torch import nn

from exported import ROWS, Exported
from shop import ITEMS, SHOPS, USERS, Shop


class TwoTower(nn.Module):
    """Its score is a logit."""

    def __init__(self):
        super().__init__()
        self.users, self.items = nn.Embedding(USERS, 16), nn.Embedding(ITEMS, 16)
        self.user = nn.Sequential(nn.Linear(19, 32), nn.ReLU(), nn.Linear(32, 16))
        self.item = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16))

    def forward(self, user_id, item_id, dense):
        user = self.user(torch.cat([self.users(user_id), dense], dim=1))
        item = self.item(self.items(item_id))
        return (user * item).sum(dim=1)


class DeepFm(nn.Module):
    """Guo and others 2017, "DeepFM": first order, pairs of fields, and a network. Its score is a probability."""

    def __init__(self):
        super().__init__()
        sizes = (USERS, ITEMS, SHOPS)
        self.first = nn.ModuleList(nn.Embedding(size, 1) for size in sizes)
        self.second = nn.ModuleList(nn.Embedding(size, 8) for size in sizes)
        self.linear = nn.Linear(3, 1)
        self.deep = nn.Sequential(nn.Linear(27, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 1))

    def forward(self, user_id, item_id, shop, dense):
        ids = (user_id, item_id, shop)
        first = self.linear(dense) + sum(table(one) for table, one in zip(self.first, ids))
        fields = torch.stack([table(one) for table, one in zip(self.second, ids)], dim=1)
        pairs = 0.5 * (fields.sum(dim=1).pow(2) - fields.pow(2).sum(dim=1)).sum(dim=1, keepdim=True)
        deep = self.deep(torch.cat([fields.flatten(1), dense], dim=1))
        return torch.sigmoid(first + pairs + deep)


class Attention(nn.Module):
    """The candidate looks at what was seen. Its score is a logit."""

    def __init__(self):
        super().__init__()
        self.items = nn.Embedding(ITEMS, 16)
        self.key, self.query, self.value = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.normal = nn.LayerNorm(16)
        self.last = nn.Sequential(nn.Linear(35, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, item_id, recent, recent_mask, dense):
        item, seen = self.items(item_id), self.items(recent)
        scores = (self.key(seen) @ self.query(item).unsqueeze(2)).squeeze(2) / 4.0
        weights = scores.masked_fill(recent_mask == 0, -1e9).softmax(dim=1)
        # Who has seen nothing has no mean of it.
        weights = weights * recent_mask
        mean = self.normal((weights.unsqueeze(1) @ self.value(seen)).squeeze(1))
        return self.last(torch.cat([item, mean, dense], dim=1)).squeeze(1)


def inputs(shop):
    recent, mask = shop.padded()
    return {
        "user_id": shop.user_id,
        "item_id": shop.item_id,
        "shop": shop.shop,
        "recent": recent,
        "recent_mask": mask,
        "dense": shop.dense(),
    }


KINDS = {
    "two-tower": (TwoTower, ("user_id", "item_id", "dense"), {"activation": "sigmoid"}),
    "DeepFM": (DeepFm, ("user_id", "item_id", "shop", "dense"), {}),
    "attention over a list": (Attention, ("item_id", "recent", "recent_mask", "dense"), {"activation": "sigmoid"}),
}


def cases():
    torch.set_num_threads(2)
    shop = Shop()
    tensors = {name: torch.from_numpy(values) for name, values in inputs(shop).items()}
    for kind, (made, names, settings) in KINDS.items():
        torch.manual_seed(3)
        model, given = made(), tuple(tensors[name] for name in names)
        fit(model, given, torch.from_numpy(shop.label), "activation" in settings)
        with torch.no_grad():
            expected = model(*(values[:ROWS] for values in given))
            expected = (torch.sigmoid(expected) if settings else expected).numpy()
        for dynamo in (False, True):
            yield Exported(
                "PyTorch",
                f"{kind}, dynamo={dynamo}",
                lambda path, model=model, given=given, names=names, dynamo=dynamo: export(
                    model, given, names, path, dynamo
                ),
                columns(shop, names),
                expected,
                settings,
            )


def columns(shop, names):
    """Those of vector.sql: numbers one by one, and the list that the mask is of."""
    found = {name: getattr(shop, name)[:ROWS] for name in names if name not in ("dense", "recent_mask")}
    return {**found, **{name: values[:ROWS].astype(np.float32) for name, values in shop.numbers.items()}}


def fit(model, given, label, is_logit):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss = nn.BCEWithLogitsLoss() if is_logit else nn.BCELoss()
    for _ in range(20):
        for part in torch.randperm(len(label)).split(256):
            optimizer.zero_grad()
            loss(model(*(values[part] for values in given)).reshape(-1), label[part]).backward()
            optimizer.step()
    model.eval()


def export(model, given, names, path, dynamo):
    example = tuple(values[:2] for values in given)
    if dynamo:
        batch = torch.export.Dim("batch")
        how = {"dynamic_shapes": {name: {0: batch} for name in names}}
    else:
        how = {"dynamic_axes": {name: {0: "batch"} for name in (*names, "click")}}
    torch.onnx.export(model, example, path, dynamo=dynamo, input_names=[*names], output_names=["click"], **how)
