"""The sum of several tables' scores over the same columns, as one score.

Ramsey et al., "Six problems for causal inference from fMRI", NeuroImage 49, 2010 (IMaGES): every table keeps its own
parameters, all share the graph. Sites that tell their local scores sum to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unpooled.causal.scores.base import LocalScore
from unpooled.causal.scores.gaussian import Gaussian
from unpooled.errors import BadData


@dataclass(frozen=True, eq=False)
class Summed:
    """local_score(y, S) = the sum of the parts' local_score(y, S); `summed` makes it. Of Gaussians it searches fast."""

    parts: tuple[LocalScore, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return self.parts[0].names

    @property
    def unit(self) -> str:
        """The parts' unit."""
        return self.parts[0].unit

    def local_score(self, node: int, parents: Sequence[int]) -> float:
        """In the parts' unit; minus infinity where a part's is."""
        return sum(part.local_score(node, parents) for part in self.parts)


def summed(parts: Sequence[LocalScore]) -> Summed:
    """The sum of scores, such as `from_covariance` of each site.

    Raises `BadData` where there is none, or where names, their order or units differ.
    """
    if not parts:
        raise BadData("A sum of scores needs at least one score, got none.")
    for i, part in enumerate(parts):
        if part.names != parts[0].names:
            raise BadData(
                f"Score 0 has columns {', '.join(parts[0].names)}, score {i} has {', '.join(part.names)}: "
                "give all tables the same columns in the same order."
            )
        if part.unit != parts[0].unit:
            raise BadData(f"Score 0 is in {parts[0].unit}, score {i} in {part.unit}: they cannot be added.")
    return Summed(tuple(parts))


def gaussians(score: LocalScore) -> tuple[Gaussian, ...] | None:
    """The Gaussian scores that the score is the sum of; None where it is none."""
    parts = score.parts if isinstance(score, Summed) else (score,)
    found = tuple(part for part in parts if isinstance(part, Gaussian))
    return found if len(found) == len(parts) else None
