"""Who holds what: counts of samples and classes, asked of the sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from unpooled.errors import BadData
from unpooled.sites.federation import Federation, ask_all
from unpooled.sites.payload import Array
from unpooled.sites.questions import Answer, Question, handles
from unpooled.sites.site import Site

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class DescribeAnswer(Answer):
    """Numbers of training and test samples; training samples of each class (n_classes,), or the mean
    target."""

    train: int
    test: int
    classes: Array | None
    mean: float | None


@dataclass(frozen=True, kw_only=True)
class Describe(Question):
    """How much do you hold of what? Tells class counts, or the mean of the target."""

    kind: ClassVar[str] = "describe"
    tells: ClassVar[str] = "How many samples the site holds, and how many of each class (or the mean of the target)."
    answer: ClassVar[type[Answer]] = DescribeAnswer


@handles(Describe)
def answer_describe(site: Site, question: Describe) -> DescribeAnswer:
    """Counts of a prepared site."""
    train, test = site.require_train(), 0 if site.test is None else len(site.test)
    if train.y.dtype.kind == "f":
        return DescribeAnswer(train=len(train), test=test, classes=None, mean=float(train.y.mean(dtype=np.float64)))
    numbers, counts = np.unique(train.y, return_counts=True)
    if numbers[0] < 0 or numbers[-1] >= 100_000:
        raise BadData(f"class numbers run from {numbers[0]} to {numbers[-1]}: number the classes 0, 1, 2, ...")
    classes = np.zeros(int(numbers[-1]) + 1, dtype=np.int64)
    classes[numbers] = counts
    return DescribeAnswer(train=len(train), test=test, classes=classes, mean=None)


def describe_sites(federation: Federation) -> pd.DataFrame:
    """Who holds what: one row a site with its name (`site`), numbers of `train` and `test` samples, and
    the training samples of each class (one column a class, named as in the data) or the `mean` of the
    target."""
    import pandas as pd

    answers = ask_all(federation, Describe(), DescribeAnswer)
    schema = getattr(federation, "schema", None)
    width = max((len(a.classes) for a in answers.values() if a.classes is not None), default=0)
    names = schema.classes if schema is not None and schema.classes else tuple(str(i) for i in range(width))
    rows = []
    for site, answer in answers.items():
        row: dict[str, object] = {"site": site, "train": answer.train, "test": answer.test}
        if answer.classes is None:
            row["mean"] = answer.mean
        else:
            counts = answer.classes.tolist() + [0] * (len(names) - len(answer.classes))
            row.update(zip(names, counts, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)
