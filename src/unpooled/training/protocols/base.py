"""What every protocol has: settings, a composed exchange, and a label for tables."""

from __future__ import annotations

import abc
from dataclasses import MISSING, dataclass, fields
from typing import ClassVar

from unpooled.combine import Combine, combiner
from unpooled.errors import BadSetting
from unpooled.training.exchange import Exchange
from unpooled.training.recipe import Recipe


@dataclass(frozen=True)
class Protocol(abc.ABC):
    """Settings of a way to learn together. Periods count local steps (one mini-batch each)."""

    summary: ClassVar[str]
    simulation_only: ClassVar[bool] = False
    result_model: ClassVar[str] = "aggregate"
    """What counts as this protocol's result: `aggregate`, or `local_mean` where models are never combined."""
    tolerates_absence: ClassVar[bool] = True
    """Whether a run over real sites can go on while some of them are away."""
    corrected: ClassVar[bool] = False
    """Whether sites add a vector that comes with the model to their gradients."""
    plain_descent_only: ClassVar[bool] = False
    """Whether models and gradients must tell each other apart by the learning rate alone."""

    @abc.abstractmethod
    def exchange(self) -> Exchange:
        """The program that runs between local steps."""

    def check(self, recipe: Recipe) -> None:
        """Raise `BadSetting` where this protocol cannot train that way."""
        if self.plain_descent_only and not recipe.plain_descent:
            raise BadSetting(
                f"{type(self).__name__} needs sites that take plain gradient descent steps: use "
                'optimizer="sgd" without momentum or weight decay.'
            )

    @property
    def combiner(self) -> Combine:
        """How the models become one."""
        return combiner(getattr(self, "combine", "mean"))

    @property
    def mu(self) -> float:
        """The weight of the proximal term that this protocol adds to the local loss."""
        return float(getattr(self, "proximal", 0.0))

    @property
    def anchored(self) -> bool:
        """Whether sites must remember the last aggregate: proximal terms and polls refer to it."""
        return self.mu > 0

    @property
    def label(self) -> str:
        """A short name with the settings that are not defaults, such as `FedDC(1, 10)`."""
        return label_of(self)


def label_of(protocol: Protocol) -> str:
    """Required settings by position, the others by name and only where they differ from the default.

    >>> from unpooled.training.protocols import FedAvg, Local
    >>> label_of(FedAvg(10)), label_of(FedAvg(10, fraction=0.1)), label_of(Local())
    ('FedAvg(10)', 'FedAvg(10, fraction=0.1)', 'Local')
    >>> from unpooled.training.protocols import RotatingAvg
    >>> label_of(RotatingAvg(10, groups=(("0", "2"), ("4",))))
    'RotatingAvg(10, groups=0 and 2 then 4)'
    """
    words = []
    for f in fields(protocol):
        value = getattr(protocol, f.name)
        text = combiner(value).__name__ if f.name == "combine" else _text(value)
        if f.default is MISSING:
            words.append(text)
        elif text != _text(f.default):
            words.append(f"{f.name}={text}")
    return type(protocol).__name__ + (f"({', '.join(words)})" if words else "")


def _text(value: object) -> str:
    """A setting in a label: names joined by "and", groups of them by "then", so that file names differ too."""
    if not isinstance(value, (tuple, list)):
        return f"{value}"
    groups = any(isinstance(v, (tuple, list)) for v in value)
    return (" then " if groups else " and ").join(map(_text, value)) or "nothing"
