"""Spark's MLlib logistic regression on the rows of a Parquet file, in local[2]; run in .venv-engines.

The rows are cached before the clock starts, and the penalty is that of scikit-learn's C = 1: 1 / rows on the mean loss.
Prints one line of JSON: seconds, weights, version.
"""

from __future__ import annotations

import json
import sys
import time

from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession


def main(path: str) -> None:
    """Fit once to a few rows, so that start-up is not counted, then to all."""
    settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.memory": "6g"}
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    frame = session.read.parquet(path)
    features = [name for name in frame.columns if name != "label"]
    rows = (
        VectorAssembler(inputCols=features, outputCol="features").transform(frame).select("features", "label").cache()
    )
    count = rows.count()
    learner = LogisticRegression(maxIter=100, regParam=1 / count, standardization=False)
    learner.fit(rows.limit(1000))
    start = time.perf_counter()
    model = learner.fit(rows)
    took = time.perf_counter() - start
    weights = [float(w) for w in model.coefficients]
    print(json.dumps({"seconds": took, "weights": weights, "version": session.version}))


if __name__ == "__main__":
    main(sys.argv[1])
