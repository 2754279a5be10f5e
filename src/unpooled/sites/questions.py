"""What a coordinator may ask and what a site may answer: small frozen dataclasses, one handler a kind.

A new kind is a pair of dataclasses and a function decorated with `handles`; `tests/contract` lists every
kind that exists, so none slips in unseen. Fields are plain scalars, strings, tuples of these, or NumPy
arrays: nothing else crosses the door (see `unpooled.sites.payload`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from unpooled import errors
from unpooled.errors import SiteFailed, UnpooledError

if TYPE_CHECKING:
    from unpooled.sites.site import Site


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Base of everything that leaves a site."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Base of everything that a coordinator may ask.

    `tells` is one plain sentence for the person who answers for a site's data: what the answer holds.
    """

    kind: ClassVar[str]
    tells: ClassVar[str]
    answer: ClassVar[type[Answer]]


@dataclass(frozen=True, kw_only=True)
class Failure(Answer):
    """A site did not answer; `code` names the error class, `reason` is one sentence for a person."""

    code: str
    reason: str


ABSENT = "Absent"
"""The code of the `Failure` that stands for a site that did not answer in time."""
Handler = Callable[["Site", Any], Answer]
"""Answers one question at one site."""
JointHandler = Callable[[Sequence["Site"], Mapping[str, Any]], Mapping[str, Answer] | None]
"""Answers the same kind of question at many sites of one process at once, or returns None to decline."""
Q = TypeVar("Q", bound=Question)
H = TypeVar("H", bound=Callable[..., Answer])

KINDS: dict[str, type[Question]] = {}
_HANDLERS: dict[type[Question], Handler] = {}
_JOINT: dict[type[Question], JointHandler] = {}


def handles(question: type[Question], *, together: JointHandler | None = None) -> Callable[[H], H]:
    """Declare the function that answers `question` at a site.

    `together` may answer for many sites of one process in one call; its results must be those of one-by-one
    answers. Raises `ValueError` when the kind has a handler already.
    """

    def register(handler: H) -> H:
        if question.kind in KINDS:
            raise ValueError(f"Question kind '{question.kind}' has a handler already.")
        KINDS[question.kind] = question
        _HANDLERS[question] = handler
        if together is not None:
            _JOINT[question] = together
        return handler

    return register


def handler_of(question: type[Question]) -> Handler:
    """The function that answers this kind at one site."""
    return _HANDLERS[question]


def joint_handler_of(question: type[Question]) -> JointHandler | None:
    """The function that answers this kind at many sites at once, if there is one."""
    return _JOINT.get(question)


def failure_from(error: UnpooledError) -> Failure:
    """What a site answers when its handler raised `error`."""
    return Failure(code=type(error).__name__, reason=str(error))


def raise_failures(answers: Mapping[str, Answer]) -> None:
    """Raise the error of the first `Failure` among `answers`, naming the site and how many failed alike."""
    failed = {name: a for name, a in answers.items() if isinstance(a, Failure)}
    if not failed:
        return
    name, first = next(iter(failed.items()))
    more = f" ({len(failed)} sites of {len(answers)} did not answer.)" if len(failed) > 1 else ""
    kind = getattr(errors, first.code, SiteFailed)
    error: type[UnpooledError] = kind if issubclass(kind, UnpooledError) else SiteFailed
    raise error(f"Site '{name}': {first.reason}{more}")
