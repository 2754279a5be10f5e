"""The coordinator of one training run: local phases, exchanges between them, and nothing else.

A local phase is one question a site. What an exchange pushed rides on the next question, and what it announced to
pull rides on the answer, so an event costs one message each way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from math import isfinite
from typing import Any

import numpy as np

from unpooled.combine import Array, mean
from unpooled.errors import BadSetting, Diverged
from unpooled.sites.federation import Federation, ask_all
from unpooled.sites.names import picked
from unpooled.sites.payload import Stacked
from unpooled.sites.questions import raise_failures
from unpooled.training.channel import Delivery, RoundChannel, rows_of, same_sites
from unpooled.training.custody import Custody, superseded
from unpooled.training.exchange import Exchange, Facts, Layers, Pull, Sites
from unpooled.training.privacy.secure_sum.total import secure_mean
from unpooled.training.questions import Begin, Begun, Train, Trained
from unpooled.training.recipe import Recipe
from unpooled.training.sealed.questions import sealed_question, session_of
from unpooled.training.task import Task, task_of
from unpooled.training.unwritten import Unwritten


class Coordinator:
    """Runs `exchange` over `federation` for `steps` local steps; someone looks every `look_every` steps.

    With `anchored`, sites are told which deliveries are aggregates: proximal terms and polls refer to them. `tolerant`
    goes on without sites that do not answer (see `custody`), which otherwise ends the run. `transfers`
    counts the models that crossed a link in one direction, the first distribution apart.
    """

    def __init__(
        self,
        federation: Federation,
        recipe: Recipe | Task,
        exchange: Exchange,
        *,
        steps: int,
        look_every: int | None = None,
        anchored: bool = False,
        tolerant: bool = False,
    ) -> None:
        self.federation, self.exchange, self.steps = federation, exchange, steps
        self.look_every = look_every or steps
        self.task = task = task_of(recipe)
        self.layout = task.layout
        begun = ask_all(federation, Begin(task=task.describe()), Begun)
        self.begun = begun
        sizes = _field(begun, "samples")
        layers, model_layers = self.layout.layers, self.layout.model_layers
        batches = _field(begun, "batch")
        start = task.start()
        self.facts = Facts(
            federation.names,
            sizes,
            layers,
            model_layers,
            steps,
            task.streams,
            batches,
            start,
            buffers=tuple(self.layout.buffers),
            norms=self.layout.norms,
            rate=task.rate,
        )
        self.step, self.transfers, self._anchored = 0, 0, anchored
        self._sums = 0
        self._pull: Pull | None = None
        self._held: Array | Unwritten | None = None
        self._polled: Array | None = None
        self.loss = float("nan")
        self.custody = Custody(self.facts, self.layout.width) if tolerant else None
        self._memory = exchange.init(self.facts)
        self._session = session_of(getattr(federation, "run", ""), task.streams)
        self._dtype = start.dtype
        everyone = np.broadcast_to(start, (len(federation.names), len(start)))
        self._pending: list[Delivery] = [Delivery(everyone, None, self.facts.model_only, True, True)]

    @property
    def done(self) -> bool:
        """Whether all local steps were taken and exchanged."""
        return self.step >= self.steps

    def local_phase(self) -> Sites:
        """All local steps up to the next event; returns the sites that trained. Call `exchange_models` next."""
        active = self.exchange.active(self.step, self.facts)
        last, pull = self._phase_end(active)
        self._held = self._train(active, self.step, last + 1 - self.step, pull)
        self._pull, self.step, self._sums = pull, last + 1, 0
        return active

    def exchange_models(self) -> None:
        """The exchange that is due after the local phase, if any."""
        if self._pull is not None:
            self._exchange(self.step - 1, self._pull, self._held)
        self._pull = self._held = self._polled = None

    def held_models(self, active: Sites) -> Array | None:
        """The models of the active sites, (k, model width), where the exchange of this step pulled them whole."""
        pull, held = self._pull, self._held
        if pull is None or held is None or pull.gradients or not same_sites(pull.sites, active):
            return None
        whole = pull.recipients is None and (pull.layers is None or pull.layers == self.facts.model_only)
        return np.asarray(held)[:, : self.layout.model_width] if whole else None

    def preview(self, rows: Array) -> Array:
        """The one model that the exchange would make of `rows`, those of the active sites, if it aggregated now.

        `rows` (k, width) are whole models; the mean stands in for what no exchange combines: all of the model where the
        protocol never aggregates, layers that are not shared, buffers that stay at the sites.
        """
        if self._pull is not None and self._pull.gradients and self._held is not None:
            shared = self.exchange.preview(None, np.asarray(self._held), self.step - 1, self._memory, self._facts_now())
            assert shared is not None
            return shared
        width = self.layout.model_width
        row = self.exchange.preview(None, rows[:, :width], self.step - 1, self._memory, self._facts_now())
        if row is None:
            return mean(rows)
        return np.concatenate([row, mean(rows[:, width:])]) if width < rows.shape[1] else row

    def aggregate_made(self) -> Array | None:
        """The one model, (model width,), that the last exchange gave all sites; None where it gave none."""
        last = self._pending[-1] if self._pending else None
        if last is None or not last.anchor or last.sites is not None or last.layers != self.facts.model_only:
            return None
        return np.array(last.rows[0]) if last.rows.strides[0] == 0 else None

    def finish(self) -> None:
        """Deliver what the last exchange pushed."""
        self._deliver_rest(None)

    def looking(self) -> bool:
        """Whether the step just done is one to evaluate after."""
        return self.step % self.look_every == 0 or self.step == self.steps

    def _phase_end(self, active: Sites) -> tuple[int, Pull | None]:
        """The last step of the local phase that starts now, and what is pulled after it."""
        for t in range(self.step, self.steps):
            pull = self.exchange.pulls(t, self.facts)
            if pull is not None or (t + 1) % self.look_every == 0 or t + 1 == self.steps:
                return t, pull
            if not same_sites(self.exchange.active(t + 1, self.facts), active):
                return t, pull
        return self.steps - 1, None

    def _train(self, active: Sites, step: int, steps: int, pull: Pull | None) -> Array | Unwritten | None:
        riding = self._riding(active)
        poll = None if pull is None else pull.poll
        if pull is not None and pull.sites is not None and not len(pull.sites):
            pull = None
        rides = pull is not None and same_sites(pull.sites, active)
        if pull is not None and pull.gradients and (steps != 1 or not rides):
            raise BadSetting("Gradients are shared by all active sites after each local step, or not at all.")
        if pull is not None and pull.recipients is not None and not rides:
            raise BadSetting("Sealed models hop among all active sites, or not at all.")
        question = Train(
            step=step,
            steps=steps,
            row=None,
            layers=riding.layers if riding else None,
            send=rides and pull is not None and pull.recipients is None,
            send_layers=pull.layers if pull is not None and rides else None,
            anchor=riding is not None and riding.anchor and self._anchored,
            threshold=poll.threshold if poll is not None else None,
            threshold_layers=poll.layers if poll is not None else None,
            gradient=pull is not None and pull.gradients,
        )
        recipients = None if pull is None else pull.recipients
        answers = self._ask(question, active, riding, step, recipients)
        names, losses = _losses(answers)
        self.loss = float("nan") if losses is None else float(losses.mean())
        if losses is not None and not isfinite(self.loss) and not np.isfinite(losses).all():
            place = int(np.flatnonzero(~np.isfinite(losses))[0])
            name = names[place]
            span = f"local step {step + 1}" if steps == 1 else f"local steps {step + 1} to {step + steps}"
            raise Diverged(
                f"The training loss at site '{name}' is {losses[place]} in {span}: lower lr, or check the data there."
            )
        if poll is not None:
            self._polled = np.zeros(self.facts.sites, dtype=bool)
            self._polled[slice(None) if active is None else active] = _field(answers, "beyond")
        if rides:
            sent = "row" if recipients is None else "letter"
            return answers.arrays[sent] if isinstance(answers, Stacked) else _field(answers, sent)
        return None if pull is None else self._fetch(pull.sites, pull.layers)

    def _exchange(self, step: int, pull: Pull, held: Array | Unwritten | None) -> None:
        channel = RoundChannel(step, self.facts, pull, held, self._fetch, self._polled, self._secure_mean)
        rng = self.task.streams.later("exchange", step)
        self._memory = self.exchange(channel, self._memory, rng, self._facts_now())
        delivery = channel.delivery()
        if delivery is not None:
            if self.custody is not None:
                left = (superseded(waiting, delivery, self.facts) for waiting in self._pending)
                self._pending = [waiting for waiting in left if waiting is not None]
            self._pending.append(delivery)

    def _facts_now(self) -> Facts:
        """The facts, and whose rows count while somebody is away."""
        counted = None if self.custody is None else self.custody.counted
        return self.facts if counted is None else replace(self.facts, counted=counted)

    def _riding(self, active: Sites) -> Delivery | None:
        """The pending delivery that can ride on the next question; all others are delivered first."""
        if not self._pending:
            return None
        last = self._pending[-1]
        if len(self._pending) == 1 and same_sites(active, last.sites):
            self._pending.clear()
            return last
        self._deliver_rest(active)
        return None

    def _deliver_rest(self, active: Sites) -> None:
        """Deliver by a question of no steps, only to who needs it now: `active`, or everyone at the end."""
        waiting: list[Delivery] = []
        pending, self._pending = self._pending, []  # what does not reach a site comes back into it
        for delivery in pending:
            sites = np.arange(self.facts.sites) if delivery.sites is None else delivery.sites
            now = np.ones(len(sites), dtype=bool) if active is None else self._among(active)[sites]
            if now.any():
                question = Train(
                    step=self.step,
                    steps=0,
                    row=None,
                    layers=delivery.layers,
                    send=False,
                    send_layers=None,
                    anchor=delivery.anchor and self._anchored,
                )
                whole = bool(now.all()) and delivery.sites is None
                chosen = None if whole else sites[now]
                self._ask(
                    question, chosen, delivery if whole else replace(delivery, rows=rows_of(delivery, now)), self.step
                )
            if not now.all():
                waiting.append(replace(delivery, rows=rows_of(delivery, ~now), sites=sites[~now]))
        self._pending = waiting + self._pending

    def _fetch(self, sites: Sites, layers: Layers) -> Array:
        """Rows that an exchange did not announce: asked for by a question of no steps."""
        question = Train(step=self.step, steps=0, row=None, layers=None, send=True, send_layers=layers)
        return _field(self._ask(question, sites, None, self.step), "row")

    def _secure_mean(self, sites: Sites, layers: Layers, weighted: bool) -> Array:
        """A mean under masks: each site sends one model, which nobody sees."""
        names = self._names(sites)
        self.transfers += len(names)
        sizes = dict(zip(names, self.facts.sizes[slice(None) if sites is None else sites].tolist(), strict=True))
        self._sums += 1
        session = f"{self.step}.{self._sums}"  # the same again when a killed coordinator asks once more
        mean = secure_mean(self.federation, sizes, layers, weighted=weighted, round=self.step, session=session)
        return mean.astype(self._dtype)

    def _ask(self, question: Train, sites: Sites, riding: Delivery | None, step: int, recipients: Sites = None) -> Any:
        arrays = {} if riding is None else {"row": riding.rows}
        asked = self.facts.sites if sites is None else len(sites)
        leaves = question.send or recipients is not None
        self.transfers += asked * (int(leaves) + int(riding is not None and not riding.initial))
        names = self._names(sites)
        opening = riding is not None and riding.sealed
        if opening or recipients is not None:
            to = None if recipients is None else self._names(recipients)
            question, arrays = sealed_question(question, arrays, self._session, opening=opening, recipients=to)
        if self.custody is not None and riding is not None:
            self.custody.delivered(riding)
        answers = self.federation.ask(Stacked(names, question, arrays), round=step)
        if self.custody is not None and not isinstance(answers, Stacked):
            answers = self.custody.stand_in(question, names, answers)
            away = self.custody.away if sites is None else self.custody.away[sites]
            if riding is not None and away.any():
                who = np.arange(self.facts.sites) if sites is None else sites
                self._pending.append(replace(riding, rows=rows_of(riding, away), sites=who[away]))
        raise_failures_in(answers)
        return answers

    def _names(self, sites: Sites) -> Sequence[str]:
        return picked(self.facts.names, sites)

    def _among(self, sites: Array) -> Array:
        """For each site of all, whether it is one of these."""
        among = np.zeros(self.facts.sites, dtype=bool)
        among[sites] = True
        return among

    def state(self) -> dict[str, Any]:
        """For a checkpoint, taken between two rounds."""
        # One row for all sites is kept as one row; it comes back as such, which executors make use of.
        rows = [p.rows[:1] if len(p.rows) and p.rows.strides[0] == 0 else p.rows for p in self._pending]
        pending = [
            {**{f.name: getattr(p, f.name) for f in fields(p)}, "rows": r}
            for r, p in zip(rows, self._pending, strict=True)
        ]
        return {
            "step": self.step,
            "memory": self._memory,
            "pending": pending,
            "loss": self.loss,
            "transfers": self.transfers,
            "custody": None if self.custody is None else self.custody.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.step, self._memory, self.loss = state["step"], state["memory"], state["loss"]
        self.transfers = state["transfers"]
        if self.custody is not None:
            self.custody.restore(state["custody"])
        self._pending = []
        for p in state["pending"]:
            count = self.facts.sites if p["sites"] is None else len(p["sites"])
            rows = np.broadcast_to(p["rows"], (count, p["rows"].shape[1]))
            self._pending.append(Delivery(**{**p, "rows": rows}))


def raise_failures_in(answers: Any) -> None:
    """`raise_failures`, at no cost for stacked answers, which hold no failure."""
    if not isinstance(answers, Stacked):
        raise_failures(answers)


def _losses(answers: Any) -> tuple[Sequence[str], Array | None]:
    """Whose training losses, and these; None where sites keep them to themselves."""
    if isinstance(answers, Stacked):
        return answers.names, answers.arrays.get("loss")
    told = {name: a.loss for name, a in answers.items() if isinstance(a, Trained) and a.loss is not None}
    return tuple(told), np.array(list(told.values())) if told else None


def _field(answers: Any, name: str) -> Array:
    """One field of all answers, stacked."""
    if isinstance(answers, Stacked):
        return np.asarray(answers.arrays[name])
    values = [getattr(answer, name) for answer in answers.values()]
    return np.stack(values) if name == "row" else np.array(values)
