"""A policy in plain sentences, for the person who answers for a site's data."""

from __future__ import annotations

from unpooled.sites.policy import RAW_DATA_KINDS, Policy
from unpooled.sites.questions import KINDS

NO_LIMIT = "no limit"


def policy_words(policy: Policy) -> list[tuple[str, str]]:
    """What the policy rules about, and the rule; one pair a rule, none left out."""
    limits = policy.limits
    return [
        ("Who may ask", NO_LIMIT if policy.askers is None else _listed(policy.askers)),
        ("Questions answered", f"all but {_listed(RAW_DATA_KINDS)}" if policy.kinds is None else _listed(policy.kinds)),
        ("Raw rows", "may be handed out" if policy.allow_raw_data else "never leave"),
        ("Training samples needed", f"{policy.min_samples} or more"),
        ("Models trained", "any that the release knows" if limits.models is None else _listed(limits.models)),
        ("Parameters of a model", _most(limits.parameters)),
        ("Local steps of a question", _most(limits.steps)),
        ("Answers in one run", "; ".join(f"{k}: at most {n:,}" for k, n in limits.visits.items()) or NO_LIMIT),
        ("Bytes a day", _most(limits.bytes_a_day)),
        (
            "Privacy of all runs",
            "no budget: models may be trained without noise"
            if limits.epsilon is None
            else f"epsilon at most {limits.epsilon:g}; models are trained with noise only",
        ),
        ("Bytes of a question", _most(policy.question_bytes)),
        ("Errors in the data", "told in full, which may name a cell" if policy.tell_cells else "told without a cell"),
    ]


def told_by(kind: str) -> str:
    """What an answer to this kind of question holds, in one sentence; "" for kinds that this release does not know."""
    return KINDS[kind].tells if kind in KINDS else ""


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _most(number: int | None) -> str:
    return NO_LIMIT if number is None else f"at most {number:,}"
