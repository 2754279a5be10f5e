"""What a config names is built once before any work: all settings are then known, and the unusable is refused."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any

from unpooled.errors import BadSetting, did_you_mean
from unpooled.runs.config import Config, with_source
from unpooled.runs.tables import choose, known_keys
from unpooled.training.guarded import refuse_unguarded
from unpooled.training.models import MODELS, ModelSettings
from unpooled.training.privacy import PRIVACY, Privacy
from unpooled.training.protocols import PROTOCOLS, Protocol
from unpooled.training.recipe import OPTIMIZERS


def resolve(config: Config) -> Config:
    """The same run with every setting written out, defaults too, and its data at an absolute path.

    Raises `BadSetting` for protocols, models and optimizers that do not exist, and for their unknown settings.
    """
    optimizer_settings_exist(config)
    return replace(
        with_source(config),
        model=settings_of(model_of(config), config.model["kind"]),
        protocols=tuple(settings_of(p, type(p).__name__) for p in protocols_of(config)),
        privacy=settings_of(privacy, privacy.kind) if (privacy := privacy_of(config)) else None,
    )


def protocols_of(config: Config) -> list[Protocol]:
    """The config's protocols; raises `BadSetting` for unknown ones, wrong settings and repetitions."""
    found = [choose("A protocol", table, PROTOCOLS) for table in config.protocols]
    labels = [p.label for p in found]
    for label in labels:
        if labels.count(label) > 1:
            raise BadSetting(f"The config lists {label} twice: each protocol once.")
    hiding = config.training
    refuse_unguarded(found, secure_sum=hiding.secure_sum, sealed_hops=hiding.sealed_hops)
    if config.headline is not None and config.headline not in labels:
        hint = did_you_mean(config.headline, labels)
        raise BadSetting(f"headline = '{config.headline}' is none of the protocols {', '.join(labels)}.{hint}")
    return found


def model_of(config: Config) -> ModelSettings:
    """The config's model, not built yet."""
    return choose("[model]", config.model, MODELS)


def privacy_of(config: Config) -> Privacy | None:
    """What the config's sites add so that their answers tell less."""
    return None if config.privacy is None else choose("[privacy]", config.privacy, PRIVACY)


def optimizer_settings_exist(config: Config) -> None:
    """Refuse an unknown optimizer's name later, but its unknown settings here, with a suggestion."""
    training = config.training
    made_by = OPTIMIZERS.get(training.optimizer.lower())
    if made_by is None:
        return
    known = [name for name in inspect.signature(made_by).parameters if name not in ("params", "lr")]
    known_keys(f"[training.optimizer_settings] of {training.optimizer}", training.optimizer_settings, known)


def settings_of(thing: Any, kind: str, *, only_changed: bool = False) -> dict[str, Any]:
    """A table that makes `thing` again: its kind and its settings, or only those that differ from their defaults."""
    table: dict[str, Any] = {"kind": kind}
    for f in fields(thing):
        value = getattr(thing, f.name)
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        if not (only_changed and value == default):
            table[f.name] = list(value) if isinstance(value, tuple) else value
    return table


def changed_tables(config: Config) -> Mapping[str, Any]:
    """Model, protocols and privacy by the settings that differ from their defaults."""
    privacy = privacy_of(config)
    return {
        **({"privacy": settings_of(privacy, privacy.kind, only_changed=True)} if privacy else {}),
        "model": settings_of(model_of(config), config.model["kind"], only_changed=True),
        "protocols": [settings_of(p, type(p).__name__, only_changed=True) for p in protocols_of(config)],
    }
