"""An executor whose models hop in sealed letters, and are not shown to the coordinator on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from unpooled.combine import Array
from unpooled.errors import BadSetting, Refused, SiteFailed
from unpooled.sites.sealing import OVERHEAD, STATE, Opened, Roster, Sealing, strangers
from unpooled.sites.site import Site
from unpooled.training.exchange import Layers
from unpooled.training.executors.base import Executor, Seats, positions
from unpooled.training.privacy.executor import PrivateExecutor
from unpooled.training.privacy.secure_sum.executor import SumOnlyExecutor
from unpooled.training.unwritten import Unwritten

SIMULATED = "sealing made here"
"""In a site's state: its keys were made for a simulation, and belong into the checkpoint of that simulation."""


def admit(sites: Sequence[Site]) -> None:
    """Give the sites of a simulation keys and one roster, as being admitted would."""
    for name, sealing in strangers(site.name for site in sites).items():
        (site,) = (s for s in sites if s.name == name)
        site.state[STATE], site.state[SIMULATED] = sealing, True


class SealingExecutor(PrivateExecutor):
    """Seals what `inner` would send, opens what other sites sealed, and passes on all else.

    A model that came sealed is shown to nobody before its new site has trained it, and each letter is opened once: one
    that is not younger than the last one opened is refused. Raises `BadSetting` for a site without keys.
    """

    def __init__(self, inner: Executor, sites: Sequence[Site]) -> None:
        super().__init__(inner, sites)
        for site in sites:
            if STATE not in site.state:
                raise BadSetting(
                    f"site '{site.name}' has no keys to seal models with: let it make a key and give it the roster of "
                    "all sites' public keys, or leave sealed_hops out."
                )
        self._opened = np.zeros(self.seats, dtype=np.int64)
        self._strange = np.zeros(self.seats, dtype=bool)

    @property
    def hides_loss(self) -> bool:
        """As the executor within has it."""
        return isinstance(self.inner, PrivateExecutor) and self.inner.hides_loss

    def refuses(self, seats: Seats, steps: int) -> bool:
        """Whether a model in the clear would be refused."""
        strange = steps == 0 and bool(self._strange[seats].any())
        return strange or (isinstance(self.inner, PrivateExecutor) and self.inner.refuses(seats, steps))

    def refuses_letters(self, seats: Seats, steps: int, recipients: Sequence[str]) -> bool:
        """Whether a sealed model would be refused: where a budget is spent, or a recipient is not in a roster."""
        inner = self.inner.inner if isinstance(self.inner, SumOnlyExecutor) else self.inner
        if isinstance(inner, PrivateExecutor) and inner.refuses(seats, steps):
            return True
        asked = zip(positions(seats, self.seats), recipients, strict=True)
        return any(recipient not in self._sealing(seat).roster.keys for seat, recipient in asked)

    def rows(self, seats: Seats, layers: Layers = None) -> Array | Unwritten:
        """Models in the clear; raises `Refused` for one that came sealed and was not trained since."""
        if self._strange[seats].any():
            raise Refused("its model came sealed from another site and was not trained here yet: nobody is shown it.")
        return self.inner.rows(seats, layers)

    def shown(self, seats: Seats, layers: Layers = None) -> Array:
        """Refused: between two averagings models are nobody's business but the next site's."""
        raise Refused("its models hop sealed (sealed_hops), and this asks to see one between two exchanges.")

    def letters(self, seats: Seats, recipients: Sequence[str], *, session: str, after: int, layers: Layers) -> Array:
        """Models sealed for `recipients`, shape (k, bytes), after so many local steps. Raises `Refused`.

        What a site does to its models before they leave, such as clip and noise, is done before they are sealed.
        """
        inner = self.inner
        rows = inner.under_masks(seats, layers) if isinstance(inner, SumOnlyExecutor) else inner.rows(seats, layers)
        subject = self._subject(session, layers)
        models = np.ascontiguousarray(np.asarray(rows), dtype=_dtype(self.inner))
        letters = np.empty((len(models), models.itemsize * models.shape[1] + OVERHEAD), dtype=np.uint8)
        for i, (seat, recipient) in enumerate(zip(positions(seats, self.seats), recipients, strict=True)):
            sealed = self._sealing(seat).seal(recipient, memoryview(models[i]).cast("B"), after=after, subject=subject)
            letters[i] = np.frombuffer(sealed, dtype=np.uint8)
        return letters

    def opened(self, seats: Seats, letters: Array, *, session: str, step: int, layers: Layers) -> Array:
        """The models in `letters`, shape (k, width), to be loaded; all are opened, or none. Raises `Refused`."""
        places = positions(seats, self.seats)
        subject = self._subject(session, layers)
        found = [self._open(seat, letter, subject, step) for seat, letter in zip(places, letters, strict=True)]
        dtype = _dtype(self.inner)
        width = sum(part.stop - part.start for part in self._parts(layers).values())
        if any(len(each.letter) != width * dtype.itemsize for each in found):
            raise SiteFailed("a sealed letter holds another model than is trained here.")
        self._opened[list(places)] = [each.after for each in found]
        self._strange[list(places)] = True
        return np.stack([np.frombuffer(each.letter, dtype=dtype) for each in found])

    def _open(self, seat: int, letter: Array, subject: str, step: int) -> Opened:
        found = self._sealing(seat).open(letter.tobytes(), subject=subject)
        if not self._opened[seat] < found.after <= step:
            raise Refused(
                f"a sealed letter of '{found.sender}' is from local step {found.after}, where one after step "
                f"{self._opened[seat]} and up to step {step} was due: it opens no letter twice."
            )
        return found

    def _sealing(self, seat: int) -> Sealing:
        sealing: Sealing = self._sites[seat].state[STATE]
        return sealing

    def _parts(self, layers: Layers) -> dict[str, slice]:
        parts = self.layout.layers
        if layers is None:
            return parts
        if not set(layers) <= set(parts):
            raise SiteFailed(f"a letter of the layers {', '.join(layers)} fits no model that is trained here.")
        return {name: parts[name] for name in layers}

    def _subject(self, session: str, layers: Layers) -> str:
        """What sender and recipient must agree on: the session, and what the numbers of a row are."""
        parts = [[name, part.stop - part.start] for name, part in self._parts(layers).items()]
        told = json.dumps([session, _dtype(self.inner).name, parts])
        return sha256(told.encode()).hexdigest()

    def train(self, seats: Seats, step: int, steps: int) -> Array:
        """Local steps, which make a received model the site's own."""
        losses = self.inner.train(seats, step, steps)
        if steps:
            self._strange[seats] = False
        return losses

    def distances(self, seats: Seats, layers: Layers = None) -> Array:
        """As the executor within allows."""
        return self.inner.distances(seats, layers)

    def gradients(self, seats: Seats, step: int) -> tuple[Array, Array | Unwritten]:
        """As the executor within allows."""
        return self.inner.gradients(seats, step)

    def outgoing(self, seats: Seats) -> Array:
        """What a letter would hold: seen by the experimenter of a simulation only."""
        return self.inner.outgoing(seats) if isinstance(self.inner, PrivateExecutor) else self.inner.models(seats)

    def spent(self, seat: int) -> tuple[int, float, float] | None:
        """What the executor within has spent."""
        return self.inner.spent(seat) if isinstance(self.inner, PrivateExecutor) else None

    def state(self) -> dict[str, Any]:
        """Also which letters were opened and, in a simulation, the keys, without which those under way are lost."""
        made = [site for site in self._sites if site.state.get(SIMULATED)]
        keys = {site.name: site.state[STATE].private.hex() for site in made}
        roster = {name: key.hex() for name, key in made[0].state[STATE].roster.keys.items()} if made else {}
        own = {"opened": self._opened.copy(), "strange": self._strange.copy(), "keys": keys, "roster": roster}
        return {**super().state(), **own}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        super().restore(state)
        self._opened[:], self._strange[:] = state["opened"], state["strange"]
        roster = Roster({name: bytes.fromhex(key) for name, key in state["roster"].items()})
        for site in self._sites:
            if site.name in state["keys"]:
                site.state[STATE] = Sealing(site.name, bytes.fromhex(state["keys"][site.name]), roster)


def _dtype(executor: Executor) -> np.dtype[Any]:
    return np.dtype(str(executor.layout.dtype).removeprefix("torch.")).newbyteorder("<")
