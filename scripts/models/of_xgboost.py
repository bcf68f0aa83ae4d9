"""XGBoost: every objective of trees, boosters, base scores, missing values and categories."""

import warnings

import numpy as np
import pandas
import xgboost

from case import Case, session_of

KINDS = {
    "binary:logistic": ({}, "label"),
    "binary:logistic base_score 0.2": ({"objective": "binary:logistic", "base_score": 0.2}, "label"),
    "binary:logitraw base_score 0.2": ({"objective": "binary:logitraw", "base_score": 0.2}, "label"),
    "binary:hinge": ({}, "label"),
    "reg:logistic": ({}, "share"),
    "multi:softprob": ({"num_class": 3}, "classes"),
    "multi:softmax": ({"num_class": 3}, "classes"),
    "reg:squarederror": ({}, "amount"),
    "reg:absoluteerror": ({}, "amount"),
    "reg:pseudohubererror": ({}, "amount"),
    "reg:squaredlogerror": ({}, "amount"),
    "reg:quantileerror": ({"quantile_alpha": [0.2, 0.5, 0.9]}, "amount"),
    "count:poisson": ({}, "amount"),
    "reg:gamma": ({}, "amount"),
    "reg:tweedie": ({}, "amount"),
    "survival:cox": ({}, "amount"),
    "rank:pairwise": ({}, "relevance"),
    "rank:ndcg": ({}, "relevance"),
    "rank:map": ({}, "label"),
    "dart": ({"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5}, "label"),
    "dart normalised forest": (
        {"objective": "reg:squarederror", "booster": "dart", "rate_drop": 0.5, "normalize_type": "forest"},
        "amount",
    ),
    "random forest": (
        {"objective": "binary:logistic", "num_parallel_tree": 4, "subsample": 0.7, "learning_rate": 1.0},
        "label",
    ),
    "two targets": ({"objective": "reg:squarederror"}, "both"),
}
GOLDEN = (
    "binary:logistic",
    "binary:logistic base_score 0.2",
    "binary:logitraw base_score 0.2",
    "binary:hinge",
    "reg:logistic",
    "multi:softprob",
    "multi:softmax",
    "reg:quantileerror",
    "reg:tweedie",
    "rank:ndcg",
    "dart",
    "random forest",
    "two targets",
    "ubjson",
    "early stopping",
    "categories",
    "categories one by one",
    "categories of a data frame",
)


def settings(size, kind, **more):
    more.setdefault("objective", kind)
    return {"max_depth": size.depth, "seed": 3, "nthread": 2, "learning_rate": 0.3, **more}


def labels(data, label):
    if label == "both":
        return np.column_stack([data.amount, data.share])
    return getattr(data, label)


def cases(folder, size, data):
    matrix, names = data.matrix(), list(data.numbers)
    rows = data.rows(size, matrix)
    for kind, (more, label) in KINDS.items():
        trained = xgboost.DMatrix(matrix, labels(data, label), feature_names=names)
        if kind.startswith("rank:"):
            trained.set_group(data.group)
        booster = xgboost.train(settings(size, kind, **more), trained, size.rounds)
        yield case(folder, kind, booster, rows, names)
    trained = xgboost.DMatrix(matrix, data.label, feature_names=names)
    booster = xgboost.train(settings(size, "binary:logistic"), trained, size.rounds)
    yield case(folder, "ubjson", booster, rows, names, form="ubj")
    yield early(folder, size, data, rows, names)
    yield from of_categories(folder, size, data)
    yield of_a_data_frame(folder, size, data)


def case(folder, kind, booster, rows, names, form="json", arguments=(), **how):
    given = xgboost.DMatrix(rows, feature_names=names, feature_types=how.get("types"))
    made = Case("XGBoost", kind, folder, dict(zip(names, rows.T)), predicted(booster, kind, given, how), arguments)
    made.file = folder / f"{made.name}.{form}"
    booster.save_model(made.file)
    # Of softmax the usual converter gives the class, and not what is compared here.
    made.usual = None if kind == "multi:softmax" else lambda: converted(booster, rows)
    return made


def predicted(booster, kind, given, how):
    until = {"iteration_range": (0, how["rounds"])} if "rounds" in how else {}
    if kind != "multi:softmax":
        return booster.predict(given, **until)
    # It answers the class; its probabilities are those of the same sums.
    sums = booster.predict(given, output_margin=True).astype(float)
    powers = np.exp(sums - sums.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def early(folder, size, data, rows, names):
    """Training that stopped early: scikit-learn's interface predicts with the rounds up to the best, which are said."""
    half = len(data.label) // 2
    matrix = data.matrix()
    first = xgboost.DMatrix(matrix[:half], data.label[:half], feature_names=names)
    other = xgboost.DMatrix(matrix[half:], data.label[half:], feature_names=names)
    more = settings(size, "binary:logistic", learning_rate=1.0, max_depth=5)
    booster = xgboost.train(more, first, 60, [(other, "other")], early_stopping_rounds=3, verbose_eval=False)
    rounds = booster.best_iteration + 1
    return case(folder, "early stopping", booster, rows, names, arguments=("--rounds", str(rounds)), rounds=rounds)


def of_categories(folder, size, data):
    matrix, names = data.matrix(data.kind), [*data.numbers, "kind"]
    types = ["float"] * len(data.numbers) + ["c"]
    rows = data.rows(size, matrix)
    for place, value in enumerate([41.0, 1000.0, -1.0, -0.5, -3.0, 4.5, 31.0, 32.0, np.nan]):
        rows[place * 3, -1] = value
    for kind, most in {"categories": 1, "categories one by one": 100}.items():
        trained = xgboost.DMatrix(matrix, data.label, feature_names=names, feature_types=types)
        more = settings(size, "binary:logistic", max_cat_to_onehot=most)
        yield case(folder, kind, xgboost.train(more, trained, size.rounds), rows, names, types=types)


def of_a_data_frame(folder, size, data):
    """Columns of type `category`, which XGBoost keeps in the file from version 3.1 on, in letters of ASCII."""
    shops = np.array(["north", "south", "east", "west"])[data.shop]
    frame = pandas.DataFrame({**data.numbers, "shop": pandas.Categorical(shops)})
    frame["tens"] = pandas.Categorical(10 * (data.tier + 1))
    trained = xgboost.DMatrix(frame, data.label, enable_categorical=True)
    booster = xgboost.train(settings(size, "binary:logistic", max_cat_to_onehot=1), trained, size.rounds)
    rows = frame.iloc[: size.rows]
    expected = booster.predict(xgboost.DMatrix(rows, enable_categorical=True))
    given = {name: rows[name].to_numpy(float) for name in data.numbers}
    given["shop"], given["tens"] = rows["shop"].to_numpy(str).astype(object), rows["tens"].to_numpy(float)
    made = Case("XGBoost", "categories of a data frame", folder, given, expected)
    made.file = folder / f"{made.name}.json"
    booster.save_model(made.file)
    return made


def converted(booster, rows):
    """What the usual converter makes of it. It knows no names of features."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    plain = booster.copy()
    plain.feature_names = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = [("input", FloatTensorType([None, rows.shape[1]]))]
        model = onnxmltools.convert_xgboost(plain, initial_types=wanted, target_opset=15)
    session = session_of(model.SerializeToString())
    found = session.run(None, {"input": rows.astype(np.float32)})[-1]
    return found[:, 1] if found.ndim == 2 and found.shape[1] == 2 else found
