"""LightGBM through onnxmltools, with the options that it has unless given."""

import lightgbm
import numpy as np
import onnxmltools
from onnxmltools.convert.common.data_types import FloatTensorType

from case import LARGE, Data
from exported import ROWS, Exported, features, settings_of
from of_lightgbm import settings

KINDS = {
    "binary, missing values": ({"objective": "binary"}, "label", True),
    "dart": ({"objective": "binary", "boosting": "dart", "drop_rate": 0.5}, "label", True),
    "random forest": (
        {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
        "label",
        False,
    ),
    "binary, sigmoid 2.5": ({"objective": "binary", "sigmoid": 2.5}, "label", False),
    "lambdarank": ({"objective": "lambdarank"}, "relevance", True),
    "multiclass, class 2": ({"objective": "multiclass", "num_class": 3}, "classes", True),
    "regression": ({"objective": "regression"}, "amount", True),
    "categories": ({"objective": "binary", "min_data_per_group": 5, "cat_smooth": 1.0}, "label", True),
}


def cases():
    data = Data(LARGE)
    for kind, (more, label, agrees) in KINDS.items():
        columns, model = features(data, kind), settings_of(kind)
        categories = []
        if kind == "categories":
            columns["kind"], categories = np.nan_to_num(data.kind, nan=0.0), ["kind"]
        matrix = np.column_stack([*columns.values()])
        trained = lightgbm.Dataset(
            matrix,
            getattr(data, label),
            group=data.group if label == "relevance" else None,
            feature_name=[*columns],
            categorical_feature=categories,
        )
        booster = lightgbm.train(settings(LARGE, **more), trained, LARGE.rounds)
        rows = matrix[: ROWS]
        expected = booster.predict(rows)
        if expected.ndim == 2:
            expected, model["class"] = expected[:, 2], 2
        yield Exported(
            "LightGBM",
            kind,
            lambda path, booster=booster, wide=rows.shape[1]: export(booster, wide, path),
            dict(zip(columns, rows.T)),
            expected,
            model,
            agrees=agrees,
            untrained="NaN" if model.get("missing") else "trees",
        )


def export(booster, wide, path):
    model = onnxmltools.convert_lightgbm(booster, initial_types=[("input", FloatTensorType([None, wide]))])
    path.write_bytes(model.SerializeToString())
