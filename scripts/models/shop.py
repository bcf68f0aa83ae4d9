"""A shop's clicks for networks: who, what, numbers, and what somebody has seen."""

import numpy as np

TRAIN = 5_000
USERS, ITEMS, SHOPS, SEEN = 500, 200, 20, 10


class Shop:
    def __init__(self, seed=7):
        random = np.random.default_rng(seed)
        likes, looks = random.normal(size=(USERS, 4)), random.normal(size=(ITEMS, 4))
        self.user_id = random.integers(0, USERS, TRAIN)
        self.item_id = random.integers(0, ITEMS, TRAIN)
        self.shop = random.integers(0, SHOPS, TRAIN)
        self.numbers = {
            "price": random.lognormal(0.0, 0.5, TRAIN),
            "views": random.poisson(2.0, TRAIN).astype(float),
            "trend": random.normal(size=TRAIN),
        }
        # From none to as many as the model's input has.
        self.recent = [random.integers(1, ITEMS, count).tolist() for count in random.integers(0, SEEN + 1, TRAIN)]
        seen = np.array([np.mean(looks[recent] @ looks[item]) if recent else 0.0 for recent, item in zip(self.recent, self.item_id)])
        taste = np.sum(likes[self.user_id] * looks[self.item_id], axis=1)
        logit = 0.7 * taste + seen + self.numbers["trend"] - 0.5 * self.numbers["price"]
        self.label = (logit + random.logistic(size=TRAIN) > 0).astype(np.float32)

    def dense(self):
        return np.column_stack([*self.numbers.values()]).astype(np.float32)

    def padded(self):
        """What was seen, filled from its beginning and padded with zeros, and where it has a value."""
        ids, mask = np.zeros((TRAIN, SEEN), np.int64), np.zeros((TRAIN, SEEN), np.float32)
        for row, recent in enumerate(self.recent):
            ids[row, : len(recent)], mask[row, : len(recent)] = recent, 1.0
        return ids, mask
