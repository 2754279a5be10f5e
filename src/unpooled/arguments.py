"""What callers of the library may pass, brought to one form: sites, test sets, losses, threads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from unpooled.errors import BadSetting
from unpooled.sites.schema import Schema, in_order, text
from unpooled.sites.site import Samples, Site, samples
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.lazy import LazySites
from unpooled.training.train import federation_of

NO_SITES = "sites must come from split(...) or load_sites(...), or be a dict from name to arrays (X, y)."
Sites = InProcess | LazySites | Iterable[Site] | Mapping[str, tuple[Any, Any]]


def federation_from(sites: Any) -> tuple[InProcess | LazySites, Schema | None]:
    """A federation of its own, with the traffic so far, and the schema of its data where there is one."""
    if isinstance(sites, LazySites):
        return sites.fresh(), None
    if isinstance(sites, Mapping):
        sites = _from_arrays(sites)
    if not isinstance(sites, InProcess):
        sites = list(sites) if isinstance(sites, Iterable) else [sites]
    if not all(isinstance(site, Site) for site in sites):
        raise BadSetting(NO_SITES)
    federation = federation_of(sites)
    if isinstance(sites, InProcess):
        federation.traffic.restore(sites.traffic.state())
    return federation, getattr(sites, "schema", None)


def _from_arrays(sites: Mapping[str, tuple[Any, Any]]) -> InProcess:
    """Sites of arrays. Class numbers 0, 1, ... stay; other labels (text, -1 and 1) are numbered in sorted order."""
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in sites.values()):
        raise BadSetting(NO_SITES)
    arrays = {str(name): (X, np.asarray(y)) for name, (X, y) in sites.items()}
    schema = None
    if any(y.dtype.kind not in "buif" or (y.dtype.kind == "i" and y.size and y.min() < 0) for _, y in arrays.values()):
        classes = in_order({label for _, y in arrays.values() for label in map(text, y.tolist()) if label is not None})
        schema = Schema(features=(), classes=classes, target="y", shape=())
        arrays = {name: (X, schema.class_numbers(y)) for name, (X, y) in arrays.items()}
    return InProcess.of([Site(name, samples(X, y)) for name, (X, y) in arrays.items()], schema=schema)


def held_out_from(test: tuple[Any, Any] | None, schema: Schema | None) -> Samples | None:
    """A central test set from arrays, its labels numbered as those of the sites."""
    if test is None or isinstance(test, Samples):
        return test
    if not isinstance(test, tuple) or len(test) != 2:
        raise BadSetting(f"test must be a pair of arrays (X, y), got a {type(test).__name__}.")
    X, y = test
    if schema is not None and schema.classes is not None:
        y = schema.class_numbers(y)
    return samples(X, y)


def loss_for(loss: Any, federation: InProcess | LazySites) -> Any:
    """The loss named, or for "auto" the one that fits the sites' targets."""
    if loss != "auto":
        return loss
    members = [federation.made(0)] if isinstance(federation, LazySites) else federation
    kinds = {site.require_train().y.dtype.kind for site in members}
    return "mse" if kinds == {"f"} else "cross_entropy"


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Torch's number of threads for a while; None leaves it."""
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
