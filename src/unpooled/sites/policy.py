"""What a site is willing to answer. Checked at the door before any handler runs."""

from __future__ import annotations

from dataclasses import dataclass

from unpooled.sites.questions import Question

RAW_DATA_KINDS = frozenset({"rows"})
"""Kinds whose answer holds single rows of data: refused unless a policy allows them by name."""


@dataclass(frozen=True)
class Policy:
    """A site's rules.

    `kinds` is the set of question kinds that may be answered; None means all kinds but those that would hand
    out raw rows. `min_samples` refuses every question while the site holds fewer training samples.
    """

    kinds: frozenset[str] | None = None
    min_samples: int = 0
    allow_raw_data: bool = False

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
