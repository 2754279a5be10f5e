"""A recipe in words that a real site can build from: names of the library's own parts and their settings, no code.

A coordinator describes a task by its blueprint; a site that has nothing installed builds the same recipe from its own
release. Models of one's own have no blueprint: the people in charge of the sites install them there (`install`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import torch

from unpooled.errors import BadSetting, UnpooledError, did_you_mean
from unpooled.seeds import Streams
from unpooled.training.models import MODELS, ModelSettings
from unpooled.training.privacy.settings import PRIVACY, Privacy
from unpooled.training.randomness import torch_stream
from unpooled.training.recipe import Recipe, recipe


@dataclass(frozen=True)
class Blueprint:
    """`model` and `privacy` are tables with a `kind`, as in configs; samples have `shape` and a model `outputs`.

    All other settings are those of `unpooled.training.recipe.recipe`.
    """

    model: Mapping[str, Any]
    shape: tuple[int, ...]
    outputs: int
    loss: str
    lr: float
    seed: int
    optimizer: str = "sgd"
    optimizer_settings: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | None = None
    optimizer_state: Literal["reset", "stay", "travel"] = "reset"
    buffers: Literal["travel", "stay"] = "travel"
    privacy: Mapping[str, Any] | None = None
    secure_sum: bool = False

    @property
    def model_class(self) -> str:
        """The kind of the model."""
        return str(self.model.get("kind"))

    @property
    def parameters(self) -> int:
        """How many parameters the model would have; nothing of that size is made."""
        with torch.device("meta"):
            module = self._settings().build(tuple(self.shape), self.outputs)
        return sum(p.numel() for p in module.parameters())

    def recipe(self, executor: str) -> Recipe:
        """The recipe, its weights drawn under the seed. Raises `BadSetting` for parts that do not exist."""
        with torch_stream(Streams(self.seed).torch_seed("model")):
            module = self._settings().build(tuple(self.shape), self.outputs)
        privacy: Privacy | None = None if self.privacy is None else _part("privacy", self.privacy, PRIVACY)
        made = recipe(
            module,
            loss=self.loss,
            optimizer=self.optimizer,
            lr=self.lr,
            batch_size=self.batch_size,
            optimizer_state=self.optimizer_state,
            buffers=self.buffers,
            executor=executor,
            privacy=privacy,
            secure_sum=self.secure_sum,
            seed=self.seed,
            **self.optimizer_settings,
        )
        return replace(made, blueprint=self)

    def _settings(self) -> ModelSettings:
        made: ModelSettings = _part("model", self.model, MODELS)
        return made

    def plain(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def build(description: str, executor: str, *, admit: Callable[[Blueprint], None] = lambda plan: None) -> Recipe:
    """The recipe that `Recipe.describe` of one with a blueprint tells of; `admit` may raise before it is built.

    Raises `BadSetting` where the description holds no blueprint, or one that this release cannot build.
    """
    try:
        told = json.loads(description)
        plan = told["blueprint"]
        extras = {key: told[key] for key in ("proximal", "corrected", "sealed_hops") if key in told}
        known = {f.name for f in fields(Blueprint)}
        if set(plan) - known or set(told) - {"blueprint", *extras}:
            raise KeyError
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadSetting(
            "the task is none that a site can build by itself, and none is installed here: take a model by name, or "
            "have it installed at the site."
        ) from error
    try:
        shape = tuple(int(n) for n in plan["shape"])
        blueprint = Blueprint(**{**plan, "shape": shape})
        admit(blueprint)
        made = blueprint.recipe(executor)
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, UnpooledError):
            raise
        raise BadSetting(f"the task cannot be built by this release: {error}.") from error
    return replace(
        made,
        proximal=float(extras.get("proximal", 0.0)),
        corrected=bool(extras.get("corrected", False)),
        sealed_hops=bool(extras.get("sealed_hops", False)),
    )


def _part(what: str, table: Mapping[str, Any], known: Mapping[str, type[Any]]) -> Any:
    kind = str(table.get("kind"))
    if kind not in known:
        raise BadSetting(f"There is no {what} '{kind}'; there are {', '.join(known)}.{did_you_mean(kind, known)}")
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items() if k != "kind"}
    try:
        return known[kind](**settings)
    except TypeError as error:
        raise BadSetting(f"{what} {kind} cannot be made of {settings}: {error}.") from error


__all__ = ["Blueprint", "build"]
