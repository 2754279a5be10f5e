"""What a site is willing to answer. Checked at the door: what can be, before any handler runs; what depends on the
answer, before it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from unpooled.errors import above_zero, not_negative, positive
from unpooled.sites.questions import Question

RAW_DATA_KINDS = frozenset({"rows"})
"""Kinds whose answer holds single rows of data: refused unless a policy allows them by name."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a policy allows that only the site itself can count or look into; None sets no limit.

    `models` are classes of models that may be trained, `parameters` the most that one may have, `steps` the most local
    steps that one question may ask for. `visits` is how many questions of a kind one run may ask. `bytes_a_day` bounds
    the payload of all answers of a day (UTC), `epsilon` the privacy that all runs may spend together; then no model is
    trained without noise.
    """

    models: frozenset[str] | None = None
    parameters: int | None = None
    steps: int | None = None
    visits: Mapping[str, int] = field(default_factory=dict)
    bytes_a_day: int | None = None
    epsilon: float | None = None

    def __post_init__(self) -> None:
        whole = {"parameters": self.parameters, "steps": self.steps, "bytes_a_day": self.bytes_a_day, **self.visits}
        positive(**{name: value for name, value in whole.items() if value is not None})
        if self.epsilon is not None:
            above_zero(epsilon=self.epsilon)

    @property
    def counted(self) -> bool:
        """Whether something has to be counted for each answer."""
        return bool(self.visits) or self.bytes_a_day is not None or self.epsilon is not None


NO_LIMITS = Limits()


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


@dataclass
class Usage:
    """What a site has answered: questions of each kind in this run, payload bytes on `day`, epsilon in other runs."""

    visits: dict[str, int] = field(default_factory=dict)
    day: str = ""
    bytes: int = 0
    elsewhere: float = 0.0
    today: Callable[[], str] = _today

    def bytes_today(self) -> int:
        """Bytes of this day. A clock that was set back does not give a day anew."""
        self.day, before = max(self.day, self.today()), self.day
        if self.day != before:
            self.bytes = 0
        return self.bytes

    def count(self, kind: str, size: int) -> None:
        """One more answer, of so many bytes."""
        self.visits[kind] = self.visits.get(kind, 0) + 1
        self.bytes = self.bytes_today() + size


@dataclass(frozen=True)
class Policy:
    """A site's rules.

    `kinds` is the set of question kinds that may be answered; None means all kinds but those that would hand
    out raw rows. `min_samples` refuses every question while the site holds fewer training samples. `limits` need
    counting or a look at the model. `askers` may ask (None: everyone), and their questions may be no longer than
    `question_bytes`; on a real site these two are checked before a question is read. With `tell_cells` an error in a
    site's data is told in full, which may name a cell; without, only that there is one.
    """

    kinds: frozenset[str] | None = None
    min_samples: int = 0
    allow_raw_data: bool = False
    limits: Limits = NO_LIMITS
    askers: frozenset[str] | None = None
    question_bytes: int | None = None
    tell_cells: bool = True

    def __post_init__(self) -> None:
        not_negative(min_samples=self.min_samples)
        if self.question_bytes is not None:
            positive(question_bytes=self.question_bytes)

    def refusal(self, question: type[Question], samples: int | None) -> str | None:
        """Why the question is refused, in one sentence, or None when it may be answered."""
        kind = question.kind
        if kind in RAW_DATA_KINDS and not self.allow_raw_data:
            return f"the policy never hands out raw rows (question '{kind}')."
        if self.kinds is not None and kind not in self.kinds:
            return f"the policy does not allow the question '{kind}', only {', '.join(sorted(self.kinds)) or 'none'}."
        if self.min_samples and samples is not None and samples < self.min_samples:
            return f"it holds {samples} samples and its policy needs at least {self.min_samples} before it answers."
        return None

    def model_refusal(self, model: str, parameters: int, *, noisy: bool) -> str | None:
        """Why a model of this class and size is not trained, or None; `noisy` says that privacy is accounted for."""
        allowed, most = self.limits.models, self.limits.parameters
        if allowed is not None and model not in allowed:
            return f"the policy does not allow models of class '{model}', only {', '.join(sorted(allowed)) or 'none'}."
        if most is not None and parameters > most:
            return f"the model has {parameters} parameters, and the policy allows at most {most}."
        if self.limits.epsilon is not None and not noisy:
            return "its policy has a privacy budget, and this training adds no noise: set [privacy]."
        return None

    def steps_refusal(self, steps: int) -> str | None:
        """Why so many local steps are not taken for one question, or None."""
        most = self.limits.steps
        if most is not None and steps > most:
            return f"it was asked for {steps} local steps at once, and its policy allows at most {most}."
        return None

    def often_refusal(self, kind: str, usage: Usage) -> str | None:
        """Why one more question of this kind is refused, or None."""
        most = self.limits.visits.get(kind)
        if most is not None and usage.visits.get(kind, 0) >= most:
            return f"it has answered '{kind}' {most} times in this run, as often as its policy allows."
        return None

    def leaving_refusal(self, size: int, spent: float, usage: Usage) -> str | None:
        """Why an answer of `size` bytes may not leave, or None; `spent` is the epsilon of this run with it."""
        most, budget = self.limits.bytes_a_day, self.limits.epsilon
        if most is not None and usage.bytes_today() + size > most:
            return (
                f"it has sent {usage.bytes} bytes today, and this answer of {size} would exceed the {most} a day that "
                "its policy allows: go on tomorrow."
            )
        if budget is not None and usage.elsewhere + spent > budget:
            return (
                f"all runs together would have spent epsilon {usage.elsewhere + spent:.4g}, and its policy allows "
                f"{budget:g}."
            )
        return None
