"""The library in a few calls: `train`, `compare`, and what they return. `import unpooled as up` offers these names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from unpooled.arguments import Sites, federation_from, held_out_from, loss_for, torch_threads
from unpooled.errors import BadSetting, Diverged
from unpooled.results import Comparison, Trained
from unpooled.seeds import Streams
from unpooled.sites.splitting import split
from unpooled.sites.transports.in_process import InProcess
from unpooled.sites.validation import set_aside, together
from unpooled.training.guarded import refuse_unguarded
from unpooled.training.lazy import LazySites
from unpooled.training.privacy import Privacy
from unpooled.training.privacy.audit import Audit
from unpooled.training.privacy.audit import audit as audit_of
from unpooled.training.protocols import Protocol
from unpooled.training.recipe import recipe
from unpooled.training.sealed.exchange import hops
from unpooled.training.train import Progress, SiteModels, Training, initialised, run
from unpooled.training.tuning import Trial, Tune, trial_values


def train(
    model: nn.Module | Callable[[], nn.Module],
    sites: Sites,
    protocol: Protocol,
    *,
    steps: int,
    lr: float | Callable[[int], float],
    seed: int = 0,
    test: tuple[Any, Any] | None = None,
    loss: Any = "auto",
    optimizer: Any = "sgd",
    batch_size: int | None = None,
    optimizer_state: Any = "reset",
    buffers: Any = "travel",
    executor: str = "auto",
    privacy: Privacy | None = None,
    secure_sum: bool = False,
    sealed_hops: bool = False,
    evaluate_every: int | None = None,
    threads: int | None = None,
    progress: bool | Callable[[Progress], None] = False,
    watch: Callable[[SiteModels], None] | None = None,
    **optimizer_settings: Any,
) -> Trained:
    """Train `model` over `sites` with `protocol` for `steps` local steps.

    `model` is a module, whose weights are the common start, or a function that makes one (drawn under `seed`).
    `sites` come from `split` or `load_sites`, or are a dict from name to arrays (X, y). `test` = (X, y) is a central
    test set; without it sites test on their own test samples. `loss` is a name, or a function of (output, target) that
    gives a scalar; `optimizer` a name or class of torch.optim. `privacy` is what sites add so that their answers tell
    less, such as `ClipAndNoise(2.0, 0.5)`; with `secure_sum` models leave under masks only, and are averaged unseen.
    With `sealed_hops` a model that hops is sealed for the site that gets it, unread on the way (see `docs/privacy.md`).
    `threads` sets torch's threads during the run: bits may depend on it. `watch` is called at each evaluation with the
    sites' models just before they are exchanged, as `unpooled.connectivity.BetweenSites` expects. See
    `unpooled.training.recipe.Recipe` for the policies. Raises `BadSetting`, `BadData`, `Unsupported`
    before work starts, `Diverged` at the step where a loss is no number, and `Refused` where a privacy budget is spent.
    """
    federation, schema = federation_from(sites)
    held_out = held_out_from(test, schema)
    module = model if isinstance(model, nn.Module) else initialised(model, Streams(seed).torch_seed("model"))
    made = recipe(
        module,
        loss=loss_for(loss, federation),
        optimizer=optimizer,
        lr=lr,
        batch_size=batch_size,
        optimizer_state=optimizer_state,
        buffers=buffers,
        executor=executor,
        privacy=privacy,
        secure_sum=secure_sum,
        sealed_hops=sealed_hops,
        seed=seed,
        **optimizer_settings,
    )
    refuse_unguarded([protocol], secure_sum=secure_sum, sealed_hops=sealed_hops)
    with torch_threads(threads):
        looks: dict[str, Any] = {"evaluate_every": evaluate_every, "watch": watch}
        training = Training(federation, made, protocol, steps=steps, test=held_out, **looks)
        with _watching(progress, protocol.label, steps) as told:
            result = run(training, told)
    return Trained(result, training.executor, training.executor_reason, seed)


def compare(
    model: nn.Module | Callable[[], nn.Module],
    sites: Sites | Callable[[int], Sites],
    protocols: Sequence[Protocol],
    *,
    seeds: Iterable[int] = range(5),
    test: tuple[Any, Any] | None = None,
    tune: Tune | None = None,
    **settings: Any,
) -> Comparison:
    """`train` each protocol with each seed; all settings are those of `train`.

    A seed draws the weights, the batches and the permutations: a module's layers are drawn anew for each seed. `sites`
    may be a function of the seed, so that the split differs too; it may then return (sites, test). With `tune` each
    protocol chooses its learning rate on validation rows of the sites (see `unpooled.training.tuning.Tune`), and `lr`
    is left out.
    """
    labels = [p.label for p in protocols]
    if not protocols or len(set(labels)) < len(labels):
        raise BadSetting(f"compare needs different protocols, at least one; got {', '.join(labels) or 'none'}.")
    seeds = list(seeds)
    if not seeds:
        raise BadSetting("compare needs at least one seed.")
    if (tune is None) == ("lr" not in settings):
        found = "neither lr nor" if tune is None else "lr beside"
        raise BadSetting(f"compare got {found} tune: give a learning rate, or let tune=Tune(lr=[...]) choose one.")
    if tune is not None and settings.get("privacy") is not None:
        raise BadSetting("tune tries several trainings, and privacy accounts for one: give lr, or leave privacy out.")
    if tune is not None and tune.seeds is not None and callable(sites):
        raise BadSetting(
            "tune.seeds choose for all seeds together, whose test rows then must be the same: give sites that do not "
            "depend on the seed, or leave seeds out of tune."
        )

    hidden = {name: bool(settings.get(name)) for name in ("secure_sum", "sealed_hops")}
    refuse_unguarded(protocols, **hidden)

    def settings_of(protocol: Protocol) -> dict[str, Any]:
        return {**settings, "sealed_hops": hidden["sealed_hops"] and hops(protocol.exchange())}

    def prepared(seed: int) -> tuple[nn.Module, Any, Any]:
        chosen: Any = sites(seed) if callable(sites) else sites
        chosen, held_out = chosen if isinstance(chosen, tuple) else (chosen, test)
        return initialised(model, Streams(seed).torch_seed("model")), chosen, held_out

    trials: list[Trial] = []
    if tune is not None:
        for seed in dict.fromkeys(s for own in seeds for s in tune.seeds_for(own)):
            made = prepared(seed)
            trials += [_trial(tune, rate, p, seed, made, settings_of(p)) for p in protocols for rate in tune.lr]
    results: dict[str, dict[int, Trained]] = {label: {} for label in labels}
    for seed in seeds:
        start, chosen, held_out = prepared(seed)
        for protocol in protocols:
            if tune is not None:
                settings["lr"] = tune.chosen(trials, protocol.label, seed)
            own = settings_of(protocol)
            results[protocol.label][seed] = train(start, chosen, protocol, seed=seed, test=held_out, **own)
    return Comparison(results, tune.frame(trials, labels, seeds) if tune else None)


def _trial(
    tune: Tune, rate: float, protocol: Protocol, seed: int, made: tuple[nn.Module, Any, Any], settings: dict[str, Any]
) -> Trial:
    """One protocol with one rate under one seed, on sites that test on validation rows."""
    start, sites, test = made
    federation, schema = federation_from(sites)
    if isinstance(federation, LazySites):
        raise BadSetting("tune holds rows back at every site, so it needs them all in memory: give lr for lazy sites.")
    aside = set_aside(federation, tune.validation_fraction, seed)
    steps = tune.steps or settings["steps"]
    held: Any = None if test is None else together(aside)
    used = {**settings, "steps": steps, "evaluate_every": steps, "progress": False}
    try:
        done = train(start, InProcess.of(aside, schema=schema), protocol, seed=seed, test=held, lr=rate, **used)
    except Diverged as error:
        return Trial(protocol.label, seed, rate, {}, str(error))
    return Trial(protocol.label, seed, rate, trial_values(done._result, protocol))


def audit(
    model: nn.Module | Callable[[], nn.Module],
    sites: Sites,
    protocol: Protocol,
    *,
    steps: int,
    lr: float | Callable[[int], float],
    worlds: int = 16,
    seed: int = 0,
    test: tuple[Any, Any] | None = None,
    loss: Any = "auto",
    threads: int | None = None,
    **settings: Any,
) -> Audit:
    """How well membership-inference attacks do against what `protocol` shows, and what the model is worth on `test`.

    Trains in `worlds` worlds at once, each on a random half of every site's rows; `settings` are those of `train`, also
    `privacy`. See `unpooled.training.privacy.audit` for the attacks, and `Audit.frame()` for the numbers.
    """
    federation, schema = federation_from(sites)
    if isinstance(federation, LazySites):
        raise BadSetting("An audit halves the rows of all sites: make all sites.")
    module = model if isinstance(model, nn.Module) else initialised(model, Streams(seed).torch_seed("model"))
    made = recipe(module, loss=loss_for(loss, federation), lr=lr, seed=seed, **settings)
    with torch_threads(threads):
        return audit_of(list(federation), made, protocol, steps=steps, worlds=worlds, test=held_out_from(test, schema))


@contextmanager
def _watching(
    progress: bool | Callable[[Progress], None], label: str, steps: int
) -> Iterator[Callable[[Progress], None] | None]:
    if callable(progress) or not progress:
        yield progress or None
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(file=sys.stderr)) as bars:
        task = bars.add_task(label, total=steps)
        yield lambda p: bars.update(task, completed=p.step)


__all__ = ["Audit", "Comparison", "Trained", "Tune", "audit", "compare", "split", "train"]
