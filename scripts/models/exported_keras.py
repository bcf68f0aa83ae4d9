"""Keras through its own `export(format="onnx")`, which calls tf2onnx where TensorFlow computes."""

import os

os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras
import numpy as np

from exported import ROWS, Exported
from shop import ITEMS, USERS, Shop


def cases():
    keras.utils.set_random_seed(3)
    shop = Shop()
    given = {"user_id": shop.user_id, "item_id": shop.item_id, "dense": shop.dense()}
    model = network()
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy")
    model.fit(given, shop.label, batch_size=256, epochs=10, verbose=0)
    expected = model.predict({name: values[:ROWS] for name, values in given.items()}, verbose=0)
    columns = {name: given[name][:ROWS] for name in ("user_id", "item_id")}
    columns |= {name: values[:ROWS].astype(np.float32) for name, values in shop.numbers.items()}
    yield Exported(
        "Keras",
        "network with embeddings",
        lambda path: model.export(str(path), format="onnx", verbose=False),
        columns,
        expected,
    )


def network():
    user = keras.Input((1,), dtype="int64", name="user_id")
    item = keras.Input((1,), dtype="int64", name="item_id")
    dense = keras.Input((3,), name="dense")
    users = keras.layers.Flatten()(keras.layers.Embedding(USERS, 8, name="users")(user))
    items = keras.layers.Flatten()(keras.layers.Embedding(ITEMS, 8, name="items")(item))
    hidden = keras.layers.Dense(32, activation="relu", name="hidden")(keras.layers.Concatenate()([users, items, dense]))
    score = keras.layers.Dense(1, activation="sigmoid", name="click")(hidden)
    return keras.Model({"user_id": user, "item_id": item, "dense": dense}, score)
