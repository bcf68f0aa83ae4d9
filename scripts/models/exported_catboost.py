"""CatBoost's own export."""

import catboost
import numpy as np

from case import LARGE, Data
from exported import ROWS, Exported, features, settings_of
from of_catboost import predicted, trainer

KINDS = {
    "Logloss, missing values": ("Logloss", "label", True),
    "MultiClass, class 2": ("MultiClass", "classes", True),
    "RMSE": ("RMSE", "amount", True),
    "Poisson": ("Poisson", "amount", False),
}


def cases():
    data = Data(LARGE)
    for kind, (loss, label, agrees) in KINDS.items():
        columns, settings = features(data, kind), settings_of(kind)
        matrix = np.column_stack([*columns.values()])
        rows = matrix[:ROWS]
        model = trainer(LARGE, loss).fit(catboost.Pool(matrix, getattr(data, label)))
        expected = predicted(model, loss, rows)
        if expected.ndim == 2:
            expected, settings["class"] = expected[:, 2], 2
        yield Exported(
            "CatBoost",
            kind,
            lambda path, model=model: model.save_model(path, format="onnx"),
            dict(zip(columns, rows.T)),
            expected,
            settings,
            agrees=agrees,
            untrained="NaN" if settings.get("missing") else "trees",
        )
