import lightgbm, numpy as np, pandas as pd
random = np.random.default_rng(1)
rows = pd.DataFrame({"age": random.integers(18, 80, 5000), "views": random.poisson(3, 5000),
                     "price": random.lognormal(2, 1, 5000).round(2)})
bought = rows["views"] - rows["price"] / 5 + random.normal(0, 2, 5000) > 1
settings = {"objective": "binary", "num_leaves": 8, "verbose": -1}
model = lightgbm.train(settings, lightgbm.Dataset(rows, bought), num_boost_round=30)
model.save_model("model.txt")
rows.head(1000).to_csv("rows.csv", index=False)
pd.DataFrame({"score": model.predict(rows.head(1000))}).to_csv("predicted.csv", index=False)
print(model.predict([[49, 5, 22.12], [49, 5, 9.99]]))     # [0.39133751 0.8063939 ]
