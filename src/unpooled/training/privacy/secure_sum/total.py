"""The coordinator's part of a secure sum: four rounds of questions, of which any may lose some sites."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unpooled.combine import Array
from unpooled.errors import BadSetting, SiteFailed
from unpooled.sites.federation import Federation
from unpooled.sites.questions import ABSENT, Answer, Failure, Question, raise_failures
from unpooled.training.privacy.secure_sum import fixed_point, keys, shamir
from unpooled.training.privacy.secure_sum.questions import SMALLEST, SumKeys, SumMasked, SumShares, SumUnmask

SUM_KINDS = (SumKeys.kind, SumShares.kind, SumMasked.kind, SumUnmask.kind)

DROPPED_OUT = (SiteFailed.__name__, ABSENT)


def threshold_of(sites: int) -> int:
    """How many of the sites must stay to the end: two thirds, rounded up, which is always more than half."""
    return -(-2 * sites // 3)


def secure_mean(
    federation: Federation,
    sizes: Mapping[str, int],
    layers: tuple[str, ...] | None = None,
    *,
    weighted: bool = False,
    round: int | None = None,
    session: str | None = None,
) -> Array:
    """The mean of the models of the sites named, (P,) float64, `weighted` by sizes or not; no single model is seen.

    Sites that drop out on the way (answer `SiteFailed`, or not in time) are left out of the mean. `session` names this
    sum among those of a run; without it the name is random. Raises `BadSetting`
    for fewer than three sites, `SiteFailed` where fewer than `threshold_of` them are left, and what a site refused.
    """
    names = tuple(sizes)
    if len(names) < SMALLEST:
        raise BadSetting(f"A secure sum needs {SMALLEST} sites or more, got {len(names)}: of two, each sees the other.")
    session = session or secrets.token_hex(16)
    return _Sum(federation, threshold_of(len(names)), len(names), round, session).mean(sizes, layers, weighted)


class _Sum:
    """One secure sum of `begun` sites, of whom `threshold` are needed."""

    def __init__(self, federation: Federation, threshold: int, begun: int, round: int | None, session: str) -> None:
        self.federation, self.threshold, self.begun, self.round = federation, threshold, begun, round
        self.session = session

    def mean(self, sizes: Mapping[str, int], layers: tuple[str, ...] | None, weighted: bool) -> Array:
        public = self._ask({name: SumKeys(session=self.session) for name in sizes}, "gave keys")
        masking = {name: a.masking.tobytes() for name, a in public.items()}
        sharing = SumShares(
            session=self.session,
            names=tuple(public),
            masking=np.stack([a.masking for a in public.values()]),
            sealing=np.stack([a.sealing for a in public.values()]),
            threshold=self.threshold,
        )
        letters = self._ask(dict.fromkeys(public, sharing), "shared their keys")
        place = {name: i for i, name in enumerate(public)}
        partners = tuple(letters)

        def masked(name: str) -> SumMasked:
            to_it = np.stack([letters[sender].letters[place[name]] for sender in partners])
            return SumMasked(session=self.session, names=partners, letters=to_it, weighted=weighted, layers=layers)

        rows = self._ask({name: masked(name) for name in partners}, "sent masked models")
        present, dropped = tuple(rows), tuple(name for name in partners if name not in rows)
        unmask = SumUnmask(session=self.session, present=present, dropped=dropped)
        shares = self._ask(dict.fromkeys(present, unmask), "helped to take the masks off")
        total: Array = np.stack([a.row for a in rows.values()]).sum(axis=0, dtype=np.uint64)
        for i, name in enumerate((*present, *dropped)):
            held = {place[holder] + 1: shares[holder].shares[i].tobytes() for holder in list(shares)[: self.threshold]}
            secret = shamir.reconstruct(held, keys.KEY_BYTES)
            if name in rows:
                total = total - keys.mask(secret, len(total))
            else:
                total = self._without(total, name, secret, present, masking)
        return fixed_point.decode(total) / sum(sizes[name] if weighted else 1 for name in present)

    def _without(
        self, total: Array, dropped: str, key: bytes, present: Sequence[str], masking: Mapping[str, bytes]
    ) -> Array:
        """Take off the masks that present sites share with one that dropped out, and so never subtracted them."""
        for name in present:
            shared = keys.mask(keys.agree(key, masking[name], f"mask {self.session}"), len(total))
            total = total - shared if name < dropped else total + shared
        return total

    def _ask(self, questions: Mapping[str, Question], done: str) -> dict[str, Any]:
        """The answers of those who did not drop out; enough of them, or `SiteFailed`."""
        answers = self.federation.ask(questions, round=self.round)
        refused: dict[str, Answer] = {
            n: a for n, a in answers.items() if isinstance(a, Failure) and a.code not in DROPPED_OUT
        }
        raise_failures(refused)
        left = {name: answer for name, answer in answers.items() if not isinstance(answer, Failure)}
        if len(left) < self.threshold:
            raise SiteFailed(
                f"Only {len(left)} of {self.begun} sites {done}, and a secure sum needs {self.threshold}: nothing can "
                "be unmasked. Try again when more are there."
            )
        return left
