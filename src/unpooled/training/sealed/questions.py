"""What a site answers where models hop sealed: `train_sealed`, the question `train` with a letter in or out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np

from unpooled.combine import Array
from unpooled.errors import SiteFailed, UnpooledError
from unpooled.seeds import Streams
from unpooled.sites.payload import Stacked
from unpooled.sites.questions import Answer, handles, joint_handler_of
from unpooled.sites.site import Site
from unpooled.training.executors.base import Seats
from unpooled.training.questions import Train, Trained, train
from unpooled.training.sealed.executor import SealingExecutor


@dataclass(frozen=True, kw_only=True)
class SealedTrained(Trained):
    """`letter` is the model, as bytes that only the site `recipient` can open, where one was named."""

    letter: Array | None = None
    recipient: str | None = None


@dataclass(frozen=True, kw_only=True)
class SealedTrain(Train):
    """`Train`, continuing from a sealed `letter` in place of a row, or sealing what is sent for the site `recipient`.

    The letter holds the parts of a row named in `layers`. `session` is the same for all letters of a run; whom to
    trust with what key, a site looks up in its own roster. A reader of the answers learns of a sealed model its size.
    """

    session: str
    letter: Array | None = None
    recipient: str | None = None
    kind: ClassVar[str] = "train_sealed"
    tells: ClassVar[str] = (
        "The mean training error of the last steps, and the site's model sealed for one other site, which the "
        "coordinator cannot read; where models are averaged in the clear, the model itself."
    )
    answer: ClassVar[type[Answer]] = SealedTrained


def session_of(run: str, streams: Streams) -> str:
    """What the letters of a run have in common: the same when a run is resumed, another for another run or seed."""
    return sha256(f"{streams.seed('sealed hops')} {run}".encode()).hexdigest()[:32]


def sealed_question(
    plain: Train, arrays: Mapping[str, Array], session: str, *, opening: bool, recipients: Sequence[str] | None
) -> tuple[SealedTrain, dict[str, Array]]:
    """A coordinator's question with sealed letters (`arrays["row"]`, where `opening`) or recipients, and its arrays."""
    question = SealedTrain(**{f.name: getattr(plain, f.name) for f in fields(Train)}, session=session)
    stacked = {"letter" if opening else name: array for name, array in arrays.items()}
    return question, stacked if recipients is None else {**stacked, "recipient": np.array(recipients, dtype=np.str_)}


def _train_all(sites: Sequence[Site], questions: Mapping[str, SealedTrain]) -> Mapping[str, Answer] | None:
    """All sites of one executor at once: open all letters, train, seal. Declines before it has changed anything."""
    executor, seats = _shared(sites)
    if executor is None or not isinstance(questions, Stacked):
        return None
    ask: Any = questions.template
    letters, recipients = questions.arrays.get("letter"), questions.arrays.get("recipient")
    shows_strange = letters is not None and ask.send and not ask.steps
    if shows_strange or (ask.send and executor.refuses(seats, ask.steps)):
        return None
    if recipients is not None and executor.refuses_letters(seats, ask.steps, recipients.tolist()):
        return None  # asked one by one, each site says under its own name why not
    arrays = {name: a for name, a in questions.arrays.items() if name == "row"}
    if letters is not None:
        try:
            arrays["row"] = executor.opened(seats, letters, session=ask.session, step=ask.step, layers=ask.layers)
        except UnpooledError:
            return None
    together = joint_handler_of(Train)
    assert together is not None
    plain = Train(**{f.name: getattr(ask, f.name) for f in fields(Train)})
    trained = together(sites, Stacked(questions.names, plain, arrays))
    assert isinstance(trained, Stacked)
    template = SealedTrained(**{f.name: getattr(trained.template, f.name) for f in fields(Trained)})
    out = dict(trained.arrays)
    if recipients is not None:
        out |= {"letter": executor.letters(seats, recipients.tolist(), **_how(ask)), "recipient": recipients}
    return Stacked(questions.names, template, out)


def _shared(sites: Sequence[Site]) -> tuple[SealingExecutor | None, Seats]:
    """The executor that all these sites share, if they do, and their seats in it."""
    seats = [site.state.get("seat") for site in sites]
    first = seats[0][0] if seats[0] is not None else None
    if not isinstance(first, SealingExecutor) or any(seat is None or seat[0] is not first for seat in seats):
        return None, np.zeros(0, dtype=np.int64)
    return first, np.array([seat[1] for seat in seats if seat is not None])


def _how(ask: SealedTrain) -> dict[str, Any]:
    return {"session": ask.session, "after": ask.step + ask.steps, "layers": ask.send_layers}


@handles(SealedTrain, together=_train_all)
def train_sealed(site: Site, question: SealedTrain) -> SealedTrained:
    """Open, train, seal."""
    executor, seat = site.state.get("seat", (None, 0))
    if not isinstance(executor, SealingExecutor):
        raise SiteFailed("it was not set up for sealed hops.")
    here = np.array([seat])
    if question.letter is not None:
        letters = question.letter[None]
        rows = executor.opened(here, letters, session=question.session, step=question.step, layers=question.layers)
        question = replace(question, row=rows[0])
    trained = train(site, question)
    letter = None
    if question.recipient is not None:
        letter = executor.letters(here, [question.recipient], **_how(question))[0]
    told = {f.name: getattr(trained, f.name) for f in fields(Trained)}
    return SealedTrained(**told, letter=letter, recipient=question.recipient)
