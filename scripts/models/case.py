"""A trained model, rows for it, and what its owner predicts for them."""

import dataclasses
import pathlib
from typing import Callable

import numpy as np
import onnxruntime


@dataclasses.dataclass
class Case:
    """One line of the table."""

    library: str
    kind: str
    # The file that the library wrote; its folder until it is named.
    file: pathlib.Path
    # Columns by name, in the order of training: float64, or texts.
    columns: dict[str, np.ndarray]
    # What the library predicts: [rows] or [rows, numbers].
    expected: np.ndarray
    # What `model import` is told beside the file.
    arguments: tuple[str, ...] = ()
    # Predictions of the usual way to ONNX.
    usual: Callable[[], np.ndarray] | None = None

    @property
    def name(self):
        return f"{self.library}-{self.kind}".lower().replace(" ", "-").replace(":", "-").replace("'", "")


@dataclasses.dataclass
class Size:
    """How much is trained and compared."""

    train: int
    rows: int
    rounds: int
    leaves: int
    depth: int


SMALL = Size(train=600, rows=32, rounds=4, leaves=7, depth=3)
LARGE = Size(train=5_000, rows=1_000, rounds=100, leaves=31, depth=6)

START = 1_700_000_000_000


class Data:
    """A shop's features, with what converters stumble over: NaN, moments in milliseconds, zeros, categories."""

    def __init__(self, size, seed=7):
        random = np.random.default_rng(seed)
        count = size.train
        price = np.round(random.lognormal(2.0, 1.0, count), 2)
        price[random.random(count) < 0.1] = np.nan
        views = random.poisson(2.0, count).astype(float)
        # A float32 holds such a moment to 131 seconds; these differ by milliseconds.
        moment = START + np.floor(random.random(count) * 60_000)
        # Both sides of 0, also closer to it than what counts as 0.
        trend = random.normal(0.0, 1.0, count)
        trend[:: count // 20] = [0.0, 1e-36, -1e-36, 1e-30, -1e-30] * 4
        kind = random.integers(0, 40, count).astype(float)
        kind[random.random(count) < 0.05] = np.nan
        shop, tier = random.integers(0, 4, count), random.integers(0, 4, count)
        self.random = random
        self.numbers = {"price": price, "views": views, "moment": moment, "trend": trend}
        self.kind, self.shop, self.tier = kind, shop, tier
        late = (moment - START) / 60_000 > 0.37
        self.signal = (
            np.where(np.isnan(price), 0.8, np.sin(price))
            + 1.5 * late
            + 0.3 * np.sqrt(views)
            - 0.7 * (views == 0)
            + np.tanh(trend)
            + np.isin(np.nan_to_num(kind, nan=-1), [1, 4, 9, 16, 25, 36, -1])
            + 0.8 * np.isin(shop, [1, 2])
            + 1.5 * np.isin(tier, [0, 2])
            - 2.6
        )
        noise = random.logistic(0.0, 0.5, count)
        self.label = (self.signal + noise > 0).astype(int)
        self.amount = np.exp(0.5 * self.signal + 0.1 * noise)
        self.share = 1.0 / (1.0 + np.exp(-self.signal - noise))
        self.classes = np.digitize(self.signal + noise, [-0.8, 0.8])
        self.group = np.full(count // 10, 10)
        self.relevance = np.clip(np.round(self.signal + noise + 1.0), 0, 4).astype(int)

    def matrix(self, *extra):
        """The numbers side by side, and these columns."""
        return np.column_stack([*self.numbers.values(), *extra])

    def rows(self, size, matrix):
        """Rows to predict: some that were trained on, so that values meet thresholds, and some that never were seen."""
        rows = matrix[: size.rows].copy()
        strange = [np.nan, 0.0, -1e6, 1e6, 0.5, -0.5]
        for place, value in enumerate(strange):
            rows[place * 2 + 1 :: 32, place % rows.shape[1]] = value
        rows[-1] = np.nan
        return rows


def session_of(model):
    """A session of one thread, as the program has them: with more, float32 sums of trees come in other orders."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def difference(found, expected):
    """The largest difference, as a share of the prediction where that is above 0.01."""
    found, expected = np.asarray(found, float).reshape(-1), np.asarray(expected, float).reshape(-1)
    if found.shape != expected.shape:
        raise ValueError(f"{found.shape} predictions, {expected.shape} are expected")
    if np.isnan(found).any():
        return float("nan")
    return float(np.max(np.abs(found - expected) / np.maximum(np.abs(expected), 0.01)))
