"""What the calls of `unpooled.api` return: one finished training, or a comparison of many, with tables and figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unpooled.errors import BadSetting
from unpooled.figures import curves
from unpooled.figures.paired import paired_tests
from unpooled.figures.results import comparison
from unpooled.figures.summary import final_table, result_values
from unpooled.sites.site import Samples
from unpooled.training.result import PRIVACY, Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Trained:
    """One finished training. `model` is the aggregate; `models` are the state dicts of all sites, by name."""

    def __init__(self, result: Result, executor: str, executor_reason: str, seed: int) -> None:
        self._result, self.executor, self.executor_reason, self.seed = result, executor, executor_reason, seed
        self.label, self.traffic, self.model, self.models = result.label, result.traffic, result.model, result.models

    def frame(self) -> pd.DataFrame:
        """One row a step, model (aggregate, local_mean, local_min) and metric, with bytes and messages so far."""
        return self._result.frame()

    def sites(self) -> pd.DataFrame:
        """Final per-site results."""
        return self._result.sites()

    def local_scores(self, data: Mapping[str, Samples] | Samples) -> dict[str, dict[str, float]]:
        """Metrics of the model that each site ended with, after the last exchange: on one set, or each on its own."""
        return self._result.local_scores(data)

    @property
    def privacy(self) -> pd.DataFrame:
        """What each site has spent: columns site, sends, epsilon, delta. The whole federation: the largest epsilon."""
        import pandas as pd

        return pd.DataFrame(self._result.privacy, columns=list(PRIVACY))

    def final(self, metric: str = "accuracy", model: str = "aggregate") -> float:
        """The last value of a metric."""
        return self._result.final(metric, model)

    def figure(self, metric: str = "accuracy", against: str = "steps") -> Figure:
        """The metric against `steps` or `bytes`."""
        return _figure(_labelled(self), metric, against)

    def __repr__(self) -> str:
        name, value = _main_metric(self._result)
        return f"<{self.label}: {name} {value:.4g} after {self._result.history[-1][0]} local steps, {self.traffic!r}>"


class Comparison:
    """Several protocols on several seeds. `results[label][seed]` is one `Trained`.

    `tuning`, if learning rates were chosen, has a row for each protocol, seed and rate tried: its results on the
    validation rows by metric, and `chosen_for`, the seeds whose final training took it.
    """

    def __init__(self, results: dict[str, dict[int, Trained]], tuning: pd.DataFrame | None = None) -> None:
        self.results, self.tuning = results, tuning

    def frame(self) -> pd.DataFrame:
        """All histories, with columns protocol and seed."""
        import pandas as pd

        return pd.concat(
            [_labelled(t) for by_seed in self.results.values() for t in by_seed.values()], ignore_index=True
        )

    def table(self, metric: str | None = None) -> pd.DataFrame:
        """Mean and half-width of the 95 % interval over seeds of the last value, for each protocol and model."""
        first = next(iter(next(iter(self.results.values())).values()))
        return final_table(self.frame(), metric or _main_metric(first._result)[0])

    def differences(self, metric: str | None = None, reference: str | None = None) -> pd.DataFrame:
        """Paired t tests over seeds with Holm's correction, of `reference` with each protocol or of all pairs.

        Columns are those of `unpooled.figures.paired.paired_tests`: each row is protocol minus reference.
        """
        if reference is not None and reference not in self.results:
            raise BadSetting(f"There is no protocol '{reference}'; there are {', '.join(self.results)}.")
        first = next(iter(next(iter(self.results.values())).values()))
        return paired_tests(result_values(self.frame(), metric or _main_metric(first._result)[0]), reference)

    def figure(self, metric: str = "accuracy", against: str = "steps") -> Figure:
        """The metric against `steps` or `bytes`, or `final` values with intervals."""
        return _figure(self.frame(), metric, against)

    def __repr__(self) -> str:
        return str(self.table().to_string(index=False))


def _labelled(trained: Trained) -> pd.DataFrame:
    return trained.frame().assign(protocol=trained.label, seed=trained.seed)


def _main_metric(result: Result) -> tuple[str, float]:
    names = {name for _, _, name, *_ in result.history}
    name = "accuracy" if "accuracy" in names else "rmse"
    return name, result.final(name)


def _figure(frame: pd.DataFrame, metric: str, against: str) -> Figure:
    draw = {"steps": curves.accuracy_against_steps, "bytes": curves.accuracy_against_bytes, "final": comparison}
    if against not in draw:
        raise BadSetting(f"against must be one of {', '.join(draw)}, got {against!r}.")
    figure: Figure = draw[against](frame, metric)
    return figure
