"""A site: data that must stay where it is, the policy that guards it and the ledger that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from unpooled.errors import BadData, UnpooledError
from unpooled.sites.ledger import Ledger
from unpooled.sites.payload import Array, size
from unpooled.sites.policy import Policy, Usage
from unpooled.sites.questions import Answer, Failure, Question, failure_from, handler_of


@dataclass(frozen=True)
class Samples:
    """`X` has shape (n, ...) and dtype float32 (or float64); `y` has shape (n,) or (n, outputs): int64 class
    numbers or floats. `groups` (n,), where known, names what rows belong together, such as a patient."""

    X: Array
    y: Array
    groups: Array | None = None

    def __post_init__(self) -> None:
        if len(self.X) != len(self.y):
            raise BadData(f"X holds {len(self.X)} samples and y {len(self.y)}: they must be the same samples.")
        if self.groups is not None and len(self.groups) != len(self.y):
            raise BadData(f"groups names {len(self.groups)} rows, y {len(self.y)}: they must be the same rows.")

    def __len__(self) -> int:
        return len(self.X)


def samples(X: Any, y: Any) -> Samples:
    """`Samples` from array-likes: features as float32 (float64 stays), classes as int64, targets like X.

    Raises `BadData` for text, for values that are missing or infinite, and for lengths that differ.
    """
    features = np.asarray(X)
    if features.dtype.kind not in "buif":
        raise BadData(f"X holds {features.dtype} where numbers belong: encode text and dates first, or use load_sites.")
    if features.dtype != np.float64 or not features.flags.c_contiguous:
        features = np.ascontiguousarray(features, dtype=np.float64 if features.dtype == np.float64 else np.float32)
    target = np.asarray(y)
    if target.dtype.kind not in "buif":
        raise BadData(
            f"y holds {target.dtype} where class numbers or target values belong: number the classes 0, 1, ..."
        )
    for name, values in (("X", features), ("y", target)):
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise BadData(f"{name} has a missing or infinite value, first at index {where}: impute or drop it first.")
    target = target.astype(np.int64 if target.dtype.kind in "bui" else features.dtype)
    return Samples(features, target)


@dataclass(eq=False)
class Site:
    """One holder of data, known by its `name`.

    `train` and `test` are arrays ready for learning; a site read from files has them once it was prepared.
    `state` belongs to handlers (a model in training, the raw table); no coordinator reads it. `spent` is the epsilon
    that its answers have spent together, kept by handlers that add noise. `Site.changes` counts how often any site was
    given a new policy, ledger, samples or place of training: what was checked once holds until then.
    """

    changes: ClassVar[int] = 0
    name: str
    train: Samples | None = None
    test: Samples | None = None
    policy: Policy = field(default_factory=Policy)
    ledger: Ledger | None = None
    state: dict[str, Any] = field(default_factory=dict)
    spent: float = 0.0
    usage: Usage = field(default_factory=Usage)

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if name in ("policy", "ledger", "train"):
            Site.changes += 1

    @property
    def size(self) -> int | None:
        """Number of training samples, None while the site is not prepared."""
        return None if self.train is None else len(self.train)

    def refusal(self, question: type[Question]) -> str | None:
        """Why the policy refuses this kind of question, or None; before preparation the raw rows are counted."""
        held = self.size if self.train is not None or "table" not in self.state else len(self.state["table"])
        return self.policy.refusal(question, held)

    def require_train(self) -> Samples:
        """The training samples; raises `BadData` when there are none."""
        if self.train is None or len(self.train) == 0:
            raise BadData("it has no training samples: leave it out, or give it at least one.")
        return self.train

    def answer(self, question: Question, *, round: int | None = None) -> Answer:
        """The door: policy, handler, ledger. Never raises an `UnpooledError`; it answers a `Failure` instead."""
        answer = self.reply(question)
        self.write_down(question, answer, round=round)
        return answer

    def reply(self, question: Question) -> Answer:
        """Policy and handler, for who writes the ledger himself."""
        refusal = self.refusal(type(question)) or self.policy.often_refusal(question.kind, self.usage)
        if refusal is not None:
            return Failure(code="Refused", reason=refusal)
        try:
            answer = handler_of(type(question))(self, question)
        except UnpooledError as error:
            return failure_from(error)
        if self.policy.limits.counted:
            refusal = self.policy.leaving_refusal(size(answer), self.spent, self.usage)
            if refusal is not None:
                return Failure(code="Refused", reason=refusal)
            self.usage.count(question.kind, size(answer))
        return answer

    def write_down(self, question: Question, answer: Answer, *, round: int | None) -> None:
        """One line in the ledger, where the site keeps one."""
        if self.ledger is not None:
            self.ledger.record(question, answer, round=round, privacy_spent=self.spent)
