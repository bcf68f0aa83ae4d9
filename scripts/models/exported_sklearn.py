"""scikit-learn through skl2onnx, with the options that it has unless given: probabilities as a list of maps."""

import numpy as np
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from case import LARGE, Data
from exported import ROWS, Exported, features

def boosting():
    return GradientBoostingClassifier(random_state=3)


KINDS = {
    "scaler and logistic regression": (make_pipeline(StandardScaler(), LogisticRegression()), "linear models"),
    "random forest": (RandomForestClassifier(100, max_depth=8, random_state=3), "trees"),
    "gradient boosting": (boosting(), "trees"),
    "histogram gradient boosting": (HistGradientBoostingClassifier(random_state=3), "trees"),
    "calibrated, sigmoid": (CalibratedClassifierCV(boosting(), method="sigmoid"), "trees"),
    "calibrated, isotonic": (CalibratedClassifierCV(boosting(), method="isotonic"), "trees"),
}
# What is known of skl2onnx 1.20.0 with scikit-learn 1.9.1.
FAILS = ("histogram gradient boosting",)
DIFFERS = ("calibrated, isotonic",)


def cases():
    data = Data(LARGE)
    columns = features(data)
    matrix = np.column_stack([*columns.values()])
    rows = matrix[:ROWS]
    for kind, (model, untrained) in KINDS.items():
        model.fit(matrix, data.label)
        yield Exported(
            "scikit-learn",
            kind,
            lambda path, model=model: export(model, rows.shape[1], path),
            dict(zip(columns, rows.T)),
            model.predict_proba(rows)[:, 1],
            loads=kind not in FAILS,
            agrees=kind not in DIFFERS,
            untrained=untrained,
        )


def export(model, wide, path):
    made = convert_sklearn(model, initial_types=[("x", FloatTensorType([None, wide]))])
    path.write_bytes(made.SerializeToString())
