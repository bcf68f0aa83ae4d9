"""XGBoost through onnxmltools, with the options that it has unless given."""

import numpy as np
import onnxmltools
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from case import LARGE, Data
from exported import ROWS, Exported, features, settings_of
from of_xgboost import settings

KINDS = {
    "binary:logistic, missing values": ({"objective": "binary:logistic"}, "label", True),
    "multi:softprob, class 2": ({"objective": "multi:softprob", "num_class": 3}, "classes", True),
    "reg:logistic": ({"objective": "reg:logistic"}, "share", False),
    "reg:squarederror": ({"objective": "reg:squarederror"}, "amount", True),
}


def cases():
    data = Data(LARGE)
    for kind, (more, label, agrees) in KINDS.items():
        columns, model = features(data, kind), settings_of(kind)
        matrix = np.column_stack([*columns.values()])
        rows = matrix[:ROWS]
        # The converter knows no names of features.
        booster = xgboost.train(settings(LARGE, kind, **more), xgboost.DMatrix(matrix, getattr(data, label)), LARGE.rounds)
        expected = booster.predict(xgboost.DMatrix(rows))
        if expected.ndim == 2:
            expected, model["class"] = expected[:, 2], 2
        yield Exported(
            "XGBoost",
            kind,
            lambda path, booster=booster, wide=rows.shape[1]: export(booster, wide, path),
            dict(zip(columns, rows.T)),
            expected,
            model,
            agrees=agrees,
            untrained="NaN" if model.get("missing") else "trees",
        )


def export(booster, wide, path):
    model = onnxmltools.convert_xgboost(booster, initial_types=[("input", FloatTensorType([None, wide]))])
    path.write_bytes(model.SerializeToString())
