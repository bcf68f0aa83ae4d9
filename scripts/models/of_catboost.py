"""CatBoost: losses, shapes of trees, missing values, and categories one by one."""

import catboost
import numpy as np
import pandas

from case import Case, session_of

KINDS = {
    "Logloss": ({}, "label"),
    "CrossEntropy": ({}, "share"),
    "MultiClass": ({}, "classes"),
    "MultiClassOneVsAll": ({}, "classes"),
    "RMSE": ({}, "amount"),
    "RMSE nan_mode Max": ({"loss_function": "RMSE", "nan_mode": "Max"}, "amount"),
    "MAE": ({}, "amount"),
    "Quantile": ({"loss_function": "Quantile:alpha=0.8"}, "amount"),
    "Poisson": ({}, "amount"),
    "Tweedie": ({"loss_function": "Tweedie:variance_power=1.5"}, "amount"),
    "QueryRMSE": ({}, "relevance"),
    "YetiRank": ({}, "relevance"),
    "MultiRMSE": ({}, "both"),
    "Logloss Depthwise": ({"loss_function": "Logloss", "grow_policy": "Depthwise"}, "label"),
    "MultiClass Lossguide": ({"loss_function": "MultiClass", "grow_policy": "Lossguide"}, "classes"),
}
GOLDEN = (
    "Logloss",
    "MultiClass",
    "MultiClassOneVsAll",
    "RMSE nan_mode Max",
    "Tweedie",
    "QueryRMSE",
    "MultiRMSE",
    "Logloss Depthwise",
    "MultiClass Lossguide",
    "categories one by one",
)
PROBABILITIES = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll")
EXPONENTS = ("Poisson", "Tweedie")


def trainer(size, kind, **more):
    more.setdefault("loss_function", kind)
    fixed = {"iterations": size.rounds, "depth": size.depth, "random_seed": 3, "thread_count": 2, "verbose": False}
    return catboost.CatBoost({**fixed, "learning_rate": 0.3, "allow_writing_files": False, **more})


def cases(folder, size, data):
    matrix, names = data.matrix(), list(data.numbers)
    rows = data.rows(size, matrix)
    for kind, (more, label) in KINDS.items():
        labels = np.column_stack([data.amount, data.share]) if label == "both" else getattr(data, label)
        group = np.repeat(np.arange(len(data.group)), data.group) if label == "relevance" else None
        pool = catboost.Pool(matrix, labels, group_id=group, feature_names=names)
        model = trainer(size, kind, **more).fit(pool)
        made = Case("CatBoost", kind, folder, dict(zip(names, rows.T)), predicted(model, kind, rows))
        made.file = folder / f"{made.name}.json"
        model.save_model(made.file, format="json")
        made.usual = lambda model=model, kind=kind: converted(folder, model, kind, rows)
        yield made
    yield of_categories(folder, size, data)


def predicted(model, kind, given):
    loss = kind.split()[0]
    if loss in PROBABILITIES:
        found = model.predict(given, prediction_type="Probability")
        return found[:, 1] if found.shape[1] == 2 else found
    return model.predict(given, prediction_type="Exponent" if loss in EXPONENTS else "RawFormulaVal")


def of_categories(folder, size, data):
    """The file has hashes alone unless it is saved with its pool."""
    shops = np.array(["north", "süd", "east", "west"])[data.shop]
    frame = pandas.DataFrame({**data.numbers, "shop": shops.astype(object), "tens": 10 * (data.tier + 1)})
    pool = catboost.Pool(frame, data.label, cat_features=["shop", "tens"])
    model = trainer(size, "Logloss", one_hot_max_size=10).fit(pool)
    rows = frame.iloc[: size.rows].copy()
    # Never seen.
    rows.iloc[3, 4], rows.iloc[5, 5] = "nowhere", 77
    given = {name: rows[name].to_numpy(object if name == "shop" else float) for name in rows}
    given_pool = catboost.Pool(rows, cat_features=["shop", "tens"])
    made = Case("CatBoost", "categories one by one", folder, given, predicted(model, "Logloss", given_pool))
    made.file = folder / f"{made.name}.json"
    model.save_model(made.file, format="json", pool=pool)
    return made


def converted(folder, model, kind, rows):
    """What CatBoost's own export makes of it."""
    path = folder / "exported.onnx"
    model.save_model(path, format="onnx")
    session = session_of(path)
    found = session.run(None, {"features": rows.astype(np.float32)})[-1]
    if isinstance(found, list):
        found = np.array([list(one.values()) for one in found])
    return found[:, 1] if found.ndim == 2 and found.shape[1] == 2 else found
