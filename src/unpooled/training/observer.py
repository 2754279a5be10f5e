"""Who looks at a training in progress: an experimenter into a simulation, or a coordinator by asking real sites.

In a simulation nothing that is seen is traffic (`observation`). At real sites all there is to see is asked for: what an
exchange pulls anyway is used, and only what is missing is asked for once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

import numpy as np

from unpooled.combine import Array
from unpooled.sites.federation import Federation
from unpooled.sites.names import picked
from unpooled.sites.payload import Stacked
from unpooled.sites.questions import Question, raise_failures
from unpooled.training import observation
from unpooled.training.custody import is_absent
from unpooled.training.exchange import Sites
from unpooled.training.questions import Show, Shown, Spending, Spent

Account = tuple[str, int, float, float]
"""A site, models sent, epsilon and delta."""


class Observer(Protocol):
    """Looks at the sites of a training in progress."""

    def outgoing(self, sites: Sites) -> Array | None:
        """Models of those sites as they leave them, shape (k, width); None where they must not be looked at."""
        ...

    def kept(self) -> tuple[tuple[str, ...], Array | None]:
        """Whose models the record keeps at the end, and these models with all their buffers."""
        ...

    def privacy(self) -> list[Account]:
        """What each site has spent; empty where nothing is protected."""
        ...

    def executor(self) -> tuple[str, str]:
        """The executor's name at the first site and why it was taken; "" while no site is made."""
        ...

    def state(self) -> list[dict[str, Any]]:
        """What the sites need to continue after a stop, unless they keep it themselves."""
        ...

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Continue from what `state` returned."""
        ...


class InSimulation:
    """Looks into the sites of this process; a protocol never uses it."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation

    def outgoing(self, sites: Sites) -> Array:
        """Protected where a site protects what it sends."""
        return observation.models_of(self.federation, sites, outgoing=True)

    def kept(self) -> tuple[tuple[str, ...], Array]:
        """All sites, or of lazy sites those that trained last."""
        return observation.names_at_hand(self.federation), np.array(observation.models_of(self.federation))

    def privacy(self) -> list[Account]:
        """Read from the accounts."""
        return observation.privacy_of(self.federation)

    def executor(self) -> tuple[str, str]:
        """Read from the first site."""
        return observation.executor_chosen(self.federation)

    def state(self) -> list[dict[str, Any]]:
        """All that the executors need."""
        return observation.executor_states(self.federation)

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Into the executors, in the order of the sites."""
        observation.restore_executors(self.federation, states)


class AtSites:
    """Asks real sites. `held` gives the models that the exchange of this step pulls anyway, or None.

    `closed` sites show no model beyond the exchanges: each one sent costs privacy, or would be seen alone. Those with
    `accounts` are asked what they have spent.
    """

    def __init__(
        self, federation: Federation, held: Callable[[Sites], Array | None], *, closed: bool, accounts: bool
    ) -> None:
        self.federation, self._held, self._closed, self._accounts = federation, held, closed, accounts

    def outgoing(self, sites: Sites) -> Array | None:
        """What was pulled anyway, or shown on request."""
        held = self._held(sites)
        if held is not None or self._closed:
            return held
        answers = self._ask(Show(), names := picked(self.federation.names, sites))
        if len(answers) < len(names):
            return None  # this look goes without; the run does not wait for it
        return np.stack([cast(Shown, answer).row for answer in answers.values()])

    def kept(self) -> tuple[tuple[str, ...], None]:
        """Each site keeps its own."""
        return (), None

    def privacy(self) -> list[Account]:
        """Asked of the sites."""
        if not self._accounts:
            return []
        told = {name: cast(Spent, answer) for name, answer in self._ask(Spending(), self.federation.names).items()}
        return [(name, a.sends, a.epsilon, a.delta) for name, a in told.items()]

    def executor(self) -> tuple[str, str]:
        """Each site's own affair."""
        return "sites", "each site trains with the executor of its own release"

    def state(self) -> list[dict[str, Any]]:
        """Each site keeps its own."""
        return []

    def restore(self, states: list[dict[str, Any]]) -> None:
        """Nothing to do here: sites continue by themselves."""

    def _ask(self, question: Question, names: Any) -> Any:
        """The answers of those who are there."""
        answers = self.federation.ask(Stacked(names, question, {}))
        there = {name: answer for name, answer in answers.items() if not is_absent(answer)}
        raise_failures(there)
        return there
