"""Train one model over many sites with one protocol, evaluated as it goes, resumable between rounds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from unpooled import errors
from unpooled.combine import Array
from unpooled.errors import BadData, BadSetting, Unsupported
from unpooled.sites.federation import Federation, ask_all
from unpooled.sites.names import picked
from unpooled.sites.site import Samples, Site
from unpooled.sites.transports.in_process import InProcess
from unpooled.sites.transports.remote import Remote
from unpooled.training.coordinator import Coordinator
from unpooled.training.evaluation import Evaluated, metrics
from unpooled.training.evaluator import Evaluator, summary
from unpooled.training.exchange import Sites
from unpooled.training.guarded import guarded
from unpooled.training.layout import layout_of
from unpooled.training.lazy import LazySites
from unpooled.training.observer import AtSites, InSimulation, Observer
from unpooled.training.privacy.secure_sum.total import SUM_KINDS
from unpooled.training.protocols import Protocol
from unpooled.training.questions import HandedOver, Rows, install
from unpooled.training.randomness import torch_stream
from unpooled.training.recipe import Recipe
from unpooled.training.result import Result
from unpooled.training.sealed.exchange import hops
from unpooled.training.sealed.executor import admit
from unpooled.training.sealed.questions import SealedTrain

TRAINING_KINDS = ("begin", "train", SealedTrain.kind, "rows", *SUM_KINDS)
"""Question kinds whose bytes are the price of training; evaluation is counted apart."""


@dataclass(frozen=True)
class Progress:
    """Where a run stands: local steps done of `steps`, and the mean training loss of the last local phase."""

    step: int
    steps: int
    loss: float


@dataclass(frozen=True, eq=False)
class SiteModels:
    """The sites' models just before an exchange: local steps done, and the state dict of each site that trained."""

    step: int
    weights: Mapping[str, Mapping[str, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class _Look:
    """The aggregate's row (None where it could not be foreseen), both kinds of results, and the traffic before."""

    row: Array | None
    aggregate: dict[str, Evaluated]
    local: dict[str, Evaluated]
    bytes: int
    messages: int


class Training:
    """One run in progress. `advance` takes it one round further; `result` is complete when `done`.

    `test` is a central test set (arrays); without it each site tests on its own test samples. Models are evaluated
    every `evaluate_every` local steps, just before the exchange of that step: the aggregate is what the protocol
    would make of the models then, the local models are what they have become. `watch` is shown these local models
    (in a simulation; of real sites what the coordinator may see), and cannot change them.
    """

    def __init__(
        self,
        federation: InProcess | LazySites | Remote,
        recipe: Recipe,
        protocol: Protocol,
        *,
        steps: int,
        test: Samples | None = None,
        evaluate_every: int | None = None,
        watch: Callable[[SiteModels], None] | None = None,
    ) -> None:
        errors.positive(steps=steps)
        if evaluate_every is not None:
            errors.positive(evaluate_every=evaluate_every)
        recipe = replace(recipe, proximal=protocol.mu, corrected=protocol.corrected)
        recipe = replace(recipe, sealed_hops=recipe.sealed_hops and hops(protocol.exchange()))
        protocol.check(recipe)
        if watch is not None and protocol.simulation_only:
            raise BadSetting(f"{protocol.label} has one model only: there is nothing between sites to watch.")
        self.federation, self.recipe, self.protocol, self.watch = federation, recipe, protocol, watch
        self._trained_on: Federation = federation
        if test is None and isinstance(federation, LazySites):
            raise BadSetting("Lazy sites have no test samples: give test=(X, y).")
        if test is None and protocol.simulation_only and isinstance(federation, InProcess):
            self._prepare_testers(federation, recipe, protocol, steps)
        if protocol.simulation_only:
            self._trained_on, recipe = pooled(federation, recipe)
        self._install(recipe)
        program = guarded(protocol.exchange(), secure_sum=recipe.secure_sum, sealed_hops=recipe.sealed_hops)
        look = evaluate_every or max(1, steps // 40)
        tolerant = isinstance(federation, Remote) and federation.patience.at_least is not None
        if tolerant and not protocol.tolerates_absence:
            raise BadSetting(
                f"{protocol.label} needs every site in every exchange: leave at_least out of [federation], so that the "
                "run waits, or take FedAvg or FedDC, which go on without."
            )
        if tolerant and recipe.sealed_hops:
            raise BadSetting(
                "A sealed model that waits for a site which is away can be read nowhere else: leave at_least out of "
                "[federation], so that the coordinator waits for all sites, or leave sealed_hops out."
            )
        self.coordinator = Coordinator(
            self._trained_on,
            recipe,
            program,
            steps=steps,
            look_every=look,
            anchored=protocol.anchored,
            tolerant=tolerant,
        )
        self.observer = self._looking()
        begun = self._testers_from if protocol.simulation_only and test is None else self.coordinator.begun
        testers = () if test is not None else tuple(name for name, b in begun.items() if b.test_samples)
        whole = layout_of(recipe.module)
        sent = whole.model_width if protocol.simulation_only else self.coordinator.layout.model_width
        self.evaluator = Evaluator(recipe, whole, sent, test, testers)
        self.executor, self.executor_reason = self.observer.executor()
        if isinstance(federation, Remote):
            federation.begun()
        self.result = Result(protocol.label, recipe, whole, federation.names)

    def _install(self, recipe: Recipe) -> None:
        """Sites of this process are given the recipe; real sites build it from its blueprint, with their own code."""
        if isinstance(self._trained_on, LazySites):
            self._trained_on.install(recipe)
        elif isinstance(self._trained_on, InProcess):
            install(list(self._trained_on), recipe)
            if recipe.sealed_hops:
                admit(list(self._trained_on))
        elif recipe.blueprint is None:
            raise BadSetting(
                "Real sites run no code but their own release: take a model, loss and optimizer by name, as configs do."
            )

    def _looking(self) -> Observer:
        if isinstance(self._trained_on, Remote):
            accounts = self.recipe.privacy is not None
            closed = accounts or self.recipe.secure_sum or self.recipe.sealed_hops
            return AtSites(self._trained_on, self.coordinator.held_models, closed=closed, accounts=accounts)
        return InSimulation(self._trained_on)

    def _prepare_testers(self, federation: InProcess, recipe: Recipe, protocol: Protocol, steps: int) -> None:
        """The pooled model is tested where the test samples are: at the sites, which must know the model."""
        install(list(federation), recipe)
        self._testers_from = Coordinator(federation, recipe, protocol.exchange(), steps=steps).begun

    @property
    def done(self) -> bool:
        """Whether all steps were taken."""
        return self.coordinator.done

    def advance(self) -> Progress:
        """One local phase, the evaluation due after it, and the exchange. Raises `Diverged` for a loss of NaN."""
        active = self.coordinator.local_phase()
        if not self.executor:
            self.executor, self.executor_reason = self.observer.executor()
        look = self._look(active) if self.coordinator.looking() else None
        self.coordinator.exchange_models()
        if look is not None:
            self._note(look)
        if self.done:
            self.coordinator.finish()
            self._close(active)
        return Progress(self.coordinator.step, self.coordinator.steps, self.coordinator.loss)

    def _look(self, active: Sites) -> _Look:
        """What is seen just before an exchange."""
        rows = self.observer.outgoing(active)
        if self.watch is not None and rows is not None:
            names = picked(self._trained_on.names, active)
            weights = {name: self.result.weights_of(row) for name, row in zip(names, rows, strict=True)}
            self.watch(SiteModels(self.coordinator.step, weights))
        row = None if rows is None else self.coordinator.preview(rows)
        aggregate = {} if row is None else self.evaluator.model(self.federation, row)
        local = {} if self.protocol.simulation_only else self.evaluator.local(self._trained_on, active)
        return _Look(row, aggregate, local, self.traffic_bytes, self.traffic_messages)

    def _note(self, look: _Look) -> None:
        """Write down what was seen; an aggregate that could not be foreseen is measured once it is made."""
        row, aggregate, local = look.row, look.aggregate, look.local
        if row is None:
            row = self.coordinator.aggregate_made()
            aggregate = {} if row is None else self.evaluator.model(self.federation, row)
        measured = summary(aggregate, local)
        loss = self.coordinator.loss
        self.result.add(self.coordinator.step, measured, look.bytes, look.messages, train_loss=loss)
        if self.done:
            self.result.aggregate_row = row
            self.result.per_site = {
                **{(name, "aggregate"): metrics(e) for name, e in aggregate.items() if name},
                **{(name, "local"): metrics(e) for name, e in local.items()},
            }

    def _close(self, active: Sites) -> None:
        self.result.privacy = self.privacy
        self.result.holders, self.result.rows = self.observer.kept()
        self.result.traffic = self.federation.traffic
        self.result.absences = self.absences

    @property
    def privacy(self) -> list[tuple[str, int, float, float]]:
        """What each site has spent so far: its name, models sent, epsilon and delta."""
        return self.observer.privacy()

    @property
    def absences(self) -> list[tuple[int, str, str]]:
        """Local steps done, a site that did not answer then, and what became of its model."""
        custody = self.coordinator.custody
        return [] if custody is None else [(a.step, a.site, a.model) for a in custody.absences]

    @property
    def traffic_bytes(self) -> int:
        """Bytes that training has moved so far, up and down, over all sites."""
        return self.federation.traffic.total_bytes(*TRAINING_KINDS)

    @property
    def traffic_messages(self) -> int:
        """Messages that training has moved so far."""
        return self.federation.traffic.total_messages(*TRAINING_KINDS)

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint needs: tensors, arrays, numbers, strings and containers of these.

        A snapshot: it stays as it is when the run goes on. Raises `Unsupported` for lazy sites.
        """
        if isinstance(self._trained_on, LazySites):
            raise Unsupported("Runs over lazy sites keep no checkpoint: they are simulations to be run again.")
        return copy.deepcopy(
            {
                "coordinator": self.coordinator.state(),
                "executors": self.observer.state(),
                "federation": self.federation.state() if isinstance(self.federation, Remote) else {},
                "traffic": self.federation.traffic.state(),
                "inner_traffic": self._trained_on.traffic.state(),
                "history": self.result.history,
            }
        )

    def saved(self) -> None:
        """What `state` returned last is on disk now."""
        if isinstance(self.federation, Remote):
            self.federation.saved()

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned, to the bit; `state` itself is left alone."""
        state = copy.deepcopy(state)
        self.coordinator.restore(state["coordinator"])
        self.observer.restore(state["executors"])
        if isinstance(self.federation, Remote):
            self.federation.restore(state["federation"])
        self._trained_on.traffic.restore(state["inner_traffic"])
        self.federation.traffic.restore(state["traffic"])
        self.result.history = state["history"]


def pooled(federation: Federation, recipe: Recipe) -> tuple[InProcess, Recipe]:
    """One site that holds the rows of all, and the recipe whose batch is that of all sites together.

    Raises `Refused` where a site's policy keeps its rows at home, which is the default outside simulations.
    """
    handed = ask_all(federation, Rows(), HandedOver)
    X = np.concatenate([h.X for h in handed.values()])
    y = np.concatenate([h.y for h in handed.values()])
    batch = recipe.batch_size
    together = None if batch is None else sum(min(batch, len(h.y)) for h in handed.values())
    in_the_open = replace(recipe, batch_size=together, privacy=None, secure_sum=False)
    return InProcess([Site("pooled", Samples(X, y))]), in_the_open


def run(training: Training, on_progress: Callable[[Progress], None] | None = None) -> Result:
    """Advance to the end."""
    while not training.done:
        progress = training.advance()
        if on_progress is not None:
            on_progress(progress)
    return training.result


def federation_of(sites: InProcess | Iterable[Site]) -> InProcess:
    """The sites as a federation of their own, with traffic counted from zero."""
    chosen = list(sites)
    if not chosen:
        raise BadData("Training needs at least one site, got none.")
    fresh = [replace_state(site) for site in chosen]
    return InProcess.of(fresh)


def replace_state(site: Site) -> Site:
    """The same site with an empty desk: no model in training."""
    return Site(site.name, site.train, site.test, site.policy, site.ledger)


def initialised(model: torch.nn.Module | Callable[[], torch.nn.Module], seed: int) -> torch.nn.Module:
    """A module with weights drawn under `seed`: made by a factory, or a copy whose layers draw anew.

    Raises `BadSetting` when `model` is neither a module nor a function that makes one, or when a parameter belongs
    to a layer without `reset_parameters`: give a factory then.
    """
    with torch_stream(seed):
        if not isinstance(model, torch.nn.Module):
            made = model() if callable(model) else None
            if not isinstance(made, torch.nn.Module):
                raise BadSetting(f"model must be a torch.nn.Module or a function that makes one, got {model!r}.")
            return made
        fresh = copy.deepcopy(model)
        for name, layer in fresh.named_modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()
            elif next(layer.parameters(recurse=False), None) is not None:
                raise BadSetting(
                    f"Layer '{name}' ({type(layer).__name__}) cannot draw new weights for each seed: "
                    "give a function that makes the model, or add reset_parameters()."
                )
    return fresh


__all__ = ["Progress", "Training", "federation_of", "initialised", "pooled", "run"]
