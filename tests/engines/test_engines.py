"""Every engine gives the model that this process alone would give, and data that lies there is fitted where it lies.

Run by `make engines`, in an environment that has Dask, Ray and Spark. Where one of them is missing its tests are
skipped, unless UNPOOLED_REQUIRE_ENGINES=1; where all are, nothing here is collected.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.unit.parallel.learners import logistic
from unpooled.errors import BadData, BadSetting
from unpooled.parallel import RadonMachineClassifier

# Engines warn of their own affairs: ports, memory, deprecations of each other.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]
ROOT = str(Path(__file__).resolve().parents[2])


def needed(module: str) -> Any:
    """The module; where there is none, the test is skipped, or fails where engines are required."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing(f"{error}: make engines installs it.")


def missing(what: str) -> NoReturn:
    if os.environ.get("UNPOOLED_REQUIRE_ENGINES") == "1":
        pytest.fail(f"{what} UNPOOLED_REQUIRE_ENGINES=1 does not allow to skip this.")
    pytest.skip(what)


@pytest.fixture(scope="module")
def dask_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    distributed = needed("distributed")
    folder = tmp_path_factory.mktemp("dask")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "local_directory": str(folder)}
    with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def ray_started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    ray = needed("ray")
    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}})
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    sql = needed("pyspark.sql")
    if shutil.which("java") is None:
        missing("Spark needs Java: apt-get install default-jre-headless.")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [ROOT, f"{ROOT}/src", os.environ.get("PYTHONPATH")]))
    settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    builder = sql.SparkSession.builder.master("local[2]").config(map=settings)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@contextmanager
def engine(name: str, request: pytest.FixtureRequest) -> Iterator[None]:
    """Make joblib's active backend the engine, on a local cluster."""
    if name == "dask":
        request.getfixturevalue("dask_client")
    elif name == "ray":
        request.getfixturevalue("ray_started")
        from ray.util.joblib import register_ray

        register_ray()
    elif name == "spark":
        request.getfixturevalue("spark")
        joblibspark = needed("joblibspark")
        joblibspark.register_spark()
    with joblib.parallel_config(name, n_jobs=2):
        yield


def machine(**settings: Any) -> Any:
    return RadonMachineClassifier(LogisticRegression(), min_samples=50, random_state=0, **settings)


@pytest.mark.parametrize("name", ["dask", "ray", "spark"])
def test_an_engine_gives_the_same_model(name: str, request: pytest.FixtureRequest) -> None:
    x, y = logistic(1200, features=3)
    alone = machine(n_jobs=1).fit(x, y)
    with engine(name, request):
        spread = machine(n_jobs=2).fit(x, y)
    np.testing.assert_allclose(spread.levels_[0], alone.levels_[0], rtol=1e-9)
    np.testing.assert_allclose(spread.estimator_.coef_, alone.estimator_.coef_, rtol=1e-6)


# Data that lies there


def close(fitted: Any, x: Any, y: Any) -> None:
    full = LogisticRegression().fit(np.asarray(x), y)
    assert fitted.height_ == 2
    assert fitted.n_models_ == 36
    assert fitted.score(x, y) > full.score(np.asarray(x), y) - 0.02


@pytest.mark.parametrize("blocks", [3, 50])
def test_dask_arrays_are_fitted_block_by_block(dask_client: Any, blocks: int) -> None:
    import dask.array as da

    x, y = logistic(4000, features=3)
    size = 4000 // blocks
    fitted = machine().fit(da.from_array(x, chunks=(size, 3)), da.from_array(y, chunks=size))
    close(fitted, x, y)


def test_dask_frames_keep_their_names_and_share_their_scale(dask_client: Any) -> None:
    dd = needed("dask.dataframe")
    x, y = logistic(4000, features=3)
    table = pd.DataFrame(x * [1.0, 100.0, 0.01], columns=["a", "b", "c"])
    frame = dd.from_pandas(table.assign(label=np.array(["n", "y"])[y]), npartitions=4)
    learner = make_pipeline(StandardScaler(), LogisticRegression())
    fitted = RadonMachineClassifier(learner, min_samples=50, random_state=0).fit(frame, "label")
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    assert fitted.score(table, np.array(["n", "y"])[y]) > LogisticRegression().fit(x, y).score(x, y) - 0.02


def test_dask_blocks_that_do_not_fit_are_refused(dask_client: Any) -> None:
    import dask.array as da

    x, y = logistic(400, features=3)
    with pytest.raises(BadData, match="different numbers of blocks, 4, 2"):
        machine().fit(da.from_array(x, chunks=(100, 3)), da.from_array(y, chunks=200))
    with pytest.raises(BadData, match="3 blocks side by side: rechunk"):
        machine().fit(da.from_array(x, chunks=(100, 1)), da.from_array(y, chunks=100))
    with pytest.raises(BadData, match="y is a Dask array or series with the same blocks"):
        machine().fit(da.from_array(x, chunks=(100, 3)), y)


@pytest.mark.parametrize("partitions", [2, 50])
def test_spark_frames_are_fitted_partition_by_partition(spark: Any, partitions: int) -> None:
    x, y = logistic(4000, features=3)
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    frame = spark.createDataFrame(table.assign(label=y)).repartition(partitions).cache()
    close(machine().fit(frame, "label"), table, y)


def test_spark_columns_that_do_not_fit_are_refused(spark: Any) -> None:
    frame = spark.createDataFrame(pd.DataFrame({"a": [1.0, 2.0], "word": ["x", "y"], "label": [0, 1]}))
    with pytest.raises(BadData, match="columns that are not: word"):
        machine().fit(frame, "label")
    with pytest.raises(BadData, match=r"no column 'labl'. Did you mean 'label'"):
        machine().fit(frame, "labl")
    with pytest.raises(BadSetting, match="y is the name of its target column"):
        machine().fit(frame)
