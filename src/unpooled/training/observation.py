"""What an experimenter sees in a simulation: the models at the sites, without asking.

Nothing seen here is traffic, and nothing here works across machines: a protocol never uses it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unpooled.combine import Array
from unpooled.errors import Unsupported
from unpooled.sites.federation import Federation
from unpooled.sites.transports.in_process import InProcess
from unpooled.training.exchange import Sites
from unpooled.training.executors import Executor
from unpooled.training.executors.base import Seats
from unpooled.training.lazy import LazySites
from unpooled.training.privacy.executor import PrivateExecutor


def models_of(federation: Federation, sites: Sites = None, *, outgoing: bool = False) -> Array:
    """Models of those sites with all their buffers, shape (k, width). Raises `Unsupported` on real machines.

    With `outgoing` they are as they leave the sites, which differs where a site protects what it sends.
    """
    here = _simulated(federation)
    names = here.names if sites is None else [federation.names[int(i)] for i in sites]
    seats = [here[name].state["seat"] for name in names]
    executor = seats[0][0]
    index = [seat for _, seat in seats]
    if all(e is executor for e, _ in seats):
        everyone = index == list(range(executor.seats))
        return np.asarray(_models(executor, slice(None) if everyone else np.array(index), outgoing))
    return np.concatenate([_models(e, np.array([i]), outgoing) for e, i in seats])


def _models(executor: Executor, seats: Seats, outgoing: bool) -> Array:
    return executor.outgoing(seats) if outgoing and isinstance(executor, PrivateExecutor) else executor.models(seats)


def privacy_of(federation: Federation) -> list[tuple[str, int, float, float]]:
    """What each site has spent: its name, models sent, epsilon and delta; empty where nothing is protected."""
    seats = [(site.name, *site.state["seat"]) for site in _simulated(federation)]
    accounts = [(name, e.spent(seat)) for name, e, seat in seats if isinstance(e, PrivateExecutor)]
    return [(name, *account) for name, account in accounts if account is not None]


def executors_of(federation: Federation) -> list[Executor]:
    """The executors at work, each once, in the order of the sites."""
    seen: dict[int, Executor] = {}
    for site in _simulated(federation):
        executor = site.state["seat"][0]
        seen.setdefault(id(executor), executor)
    return list(seen.values())


def executor_chosen(federation: Federation) -> tuple[str, str]:
    """The name of the executor at the first site, and in one sentence why it was taken; "" while no site is made."""
    if not len(_simulated(federation)):
        return "", ""
    state = next(iter(_simulated(federation))).state
    return state["seat"][0].name, state["reason"]


def executor_states(federation: Federation) -> list[dict[str, Any]]:
    """All that the executors need to continue after a stop."""
    return [executor.state() for executor in executors_of(federation)]


def restore_executors(federation: Federation, states: list[dict[str, Any]]) -> None:
    """Continue from what `executor_states` returned."""
    for executor, state in zip(executors_of(federation), states, strict=True):
        executor.restore(state)


def names_at_hand(federation: Federation) -> tuple[str, ...]:
    """The sites whose models `models_of` shows: all, or of lazy sites those that trained last."""
    return _simulated(federation).names


def _simulated(federation: Federation) -> InProcess:
    if isinstance(federation, LazySites):
        return federation.at_hand
    if not isinstance(federation, InProcess):
        raise Unsupported("Models at real sites cannot be looked at from outside: ask for them, or simulate.")
    return federation
