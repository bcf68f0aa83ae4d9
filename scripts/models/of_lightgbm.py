"""LightGBM: every kind of boosting, objective, missing value and category."""

import warnings

import lightgbm
import numpy as np
import pandas

from case import Case, session_of

KINDS = {
    "binary": ({"objective": "binary"}, "label"),
    "binary sigmoid 2.5": ({"objective": "binary", "sigmoid": 2.5}, "label"),
    "binary unbalanced goss": ({"objective": "binary", "is_unbalance": True, "data_sample_strategy": "goss"}, "label"),
    "dart": ({"objective": "binary", "boosting": "dart", "drop_rate": 0.5}, "label"),
    "random forest": ({"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}, "label"),
    "random forest regression": (
        {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
        "amount",
    ),
    "lambdarank": ({"objective": "lambdarank"}, "relevance"),
    "rank_xendcg": ({"objective": "rank_xendcg"}, "relevance"),
    "multiclass": ({"objective": "multiclass", "num_class": 3}, "classes"),
    "multiclass random forest": (
        {"objective": "multiclass", "num_class": 3, "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
        "classes",
    ),
    "multiclassova": ({"objective": "multiclassova", "num_class": 3, "sigmoid": 1.5}, "classes"),
    "regression": ({"objective": "regression"}, "amount"),
    "regression sqrt": ({"objective": "regression", "reg_sqrt": True}, "amount"),
    "regression_l1": ({"objective": "regression_l1"}, "amount"),
    "huber": ({"objective": "huber"}, "amount"),
    "fair": ({"objective": "fair"}, "amount"),
    "quantile": ({"objective": "quantile", "alpha": 0.8}, "amount"),
    "mape": ({"objective": "mape"}, "amount"),
    "poisson": ({"objective": "poisson"}, "amount"),
    "gamma": ({"objective": "gamma"}, "amount"),
    "tweedie": ({"objective": "tweedie"}, "amount"),
    "cross_entropy": ({"objective": "cross_entropy"}, "share"),
    "cross_entropy_lambda": ({"objective": "cross_entropy_lambda"}, "share"),
    "zero_as_missing": ({"objective": "binary", "zero_as_missing": True}, "label"),
    "use_missing false": ({"objective": "binary", "use_missing": False}, "label"),
    "extra trees": ({"objective": "regression", "extra_trees": True}, "amount"),
}
# Kinds that the tests of the program keep.
GOLDEN = (
    "binary",
    "binary sigmoid 2.5",
    "dart",
    "random forest",
    "random forest regression",
    "lambdarank",
    "multiclass",
    "multiclass random forest",
    "multiclassova",
    "regression sqrt",
    "tweedie",
    "cross_entropy_lambda",
    "zero_as_missing",
    "use_missing false",
    "categories",
    "categories and zero_as_missing",
    "categories of a data frame",
    "one leaf",
    "objective of one's own",
)


def settings(size, **more):
    fixed = {"verbose": -1, "num_leaves": size.leaves, "min_data_in_leaf": 5, "seed": 3, "num_threads": 2}
    return {**fixed, "learning_rate": 0.2, "deterministic": True, **more}


def cases(folder, size, data):
    matrix = data.matrix()
    rows = data.rows(size, matrix)
    names = list(data.numbers)
    for kind, (more, label) in KINDS.items():
        group = data.group if label == "relevance" else None
        trained = lightgbm.Dataset(matrix, getattr(data, label), group=group, feature_name=names)
        yield case(folder, kind, lightgbm.train(settings(size, **more), trained, size.rounds), rows, names)
    yield from of_categories(folder, size, data)
    yield from of_a_data_frame(folder, size, data)
    yield from odd(folder, size, data)


def case(folder, kind, booster, rows, names):
    made = Case("LightGBM", kind, folder, dict(zip(names, rows.T)), booster.predict(rows))
    made.file = folder / f"{made.name}.txt"
    booster.save_model(made.file)
    made.usual = lambda: converted(booster, rows)
    return made


def of_categories(folder, size, data):
    matrix = data.matrix(data.kind)
    names = [*data.numbers, "kind"]
    rows = data.rows(size, matrix)
    # Categories that never were seen, below 0, beyond what whole numbers hold, and between two.
    for place, value in enumerate([41.0, 1000.0, -1.0, -0.5, -3.0, 4.5, 1e10, 31.0, 32.0, np.nan]):
        rows[place * 3, -1] = value
    for kind, more in {
        "categories": {},
        "categories one by one": {"max_cat_to_onehot": 100},
        "categories and zero_as_missing": {"zero_as_missing": True},
    }.items():
        trained = lightgbm.Dataset(matrix, data.label, feature_name=names, categorical_feature=["kind"])
        more = {"objective": "binary", "min_data_per_group": 5, "cat_smooth": 1.0, **more}
        yield case(folder, kind, lightgbm.train(settings(size, **more), trained, size.rounds), rows, names)


def of_a_data_frame(folder, size, data):
    """Columns of type `category`: the model is trained on positions in the lists of categories."""
    shops = np.array(["north", "süd", "east", "west"])[data.shop]
    tens = 10.0 * (data.tier + 1)
    frame = pandas.DataFrame({**data.numbers, "shop": shops, "tens": tens})
    frame["shop"] = pandas.Categorical(frame["shop"])
    frame["tens"] = pandas.Categorical(frame["tens"].astype(int))
    booster = lightgbm.train(
        settings(size, objective="binary", min_data_per_group=5, cat_smooth=1.0, cat_l2=0.1),
        lightgbm.Dataset(frame, data.label),
        size.rounds,
    )
    rows = frame.iloc[: size.rows].copy()
    given = {name: rows[name].to_numpy(float) for name in data.numbers}
    given["shop"], given["tens"] = rows["shop"].to_numpy(str).astype(object), rows["tens"].to_numpy(float)
    # A category that is not in the list is no category for LightGBM, too.
    given["shop"][3], given["tens"][5] = "nowhere", 77.0
    rows["shop"] = pandas.Categorical(given["shop"], categories=frame["shop"].cat.categories)
    rows["tens"] = pandas.Categorical(given["tens"].astype(int), categories=frame["tens"].cat.categories)
    made = Case("LightGBM", "categories of a data frame", folder, given, booster.predict(rows))
    made.file = folder / f"{made.name}.txt"
    booster.save_model(made.file)
    yield made


def odd(folder, size, data):
    matrix, names = data.matrix(), list(data.numbers)
    rows = data.rows(size, matrix)
    nothing = lightgbm.Dataset(matrix, data.label, feature_name=names)
    booster = lightgbm.train(settings(size, objective="binary", min_data_in_leaf=len(matrix)), nothing, size.rounds)
    yield case(folder, "one leaf", booster, rows, names)

    def own(scores, dataset):
        probabilities = 1.0 / (1.0 + np.exp(-scores))
        return probabilities - dataset.get_label(), probabilities * (1.0 - probabilities)

    trained = lightgbm.Dataset(matrix, data.label, feature_name=names)
    booster = lightgbm.train(settings(size, objective=own), trained, size.rounds)
    yield case(folder, "objective of one's own", booster, rows, names)


def converted(booster, rows):
    """What the usual converter makes of it."""
    import onnxmltools
    from onnxmltools.convert.common.data_types import FloatTensorType

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = [("input", FloatTensorType([None, rows.shape[1]]))]
        model = onnxmltools.convert_lightgbm(booster, initial_types=wanted, target_opset=15, zipmap=False)
    session = session_of(model.SerializeToString())
    outputs = session.run(None, {"input": rows.astype(np.float32)})
    found = outputs[-1]
    return found[:, 1] if found.ndim == 2 and found.shape[1] == 2 else found
