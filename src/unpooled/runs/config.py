"""A run's settings: a TOML table is a frozen dataclass and nothing more. Unknown keys are refused with a suggestion."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from unpooled.errors import BadSetting, did_you_mean

STRICT = ConfigDict(extra="forbid")
T = TypeVar("T")


@dataclass(frozen=True, config=STRICT)
class Split:
    """How a pooled data set is shared out (see `unpooled.sites.splitting.split`). `by` names a column."""

    sites: int | None = None
    samples: int | tuple[int, ...] | None = None
    how: Literal["iid", "dirichlet", "classes", "zipf", "natural"] = "iid"
    alpha: float | None = None
    classes_per_site: int | None = None
    exponent: float | None = None
    by: str | None = None


@dataclass(frozen=True, config=STRICT)
class Data:
    """Where the samples come from.

    `source` is a file or folder of a real federation (relative to the config), or with `split` a pooled set: a file,
    or one of the sets that scikit-learn brings. `test_fraction` is held out at each site, or of the pooled set.
    `allow_raw_data` lets sites hand out rows for the pooled comparison.
    """

    source: str
    target: str | None = None
    site: str | None = None
    group: str | None = None
    task: Literal["auto", "classification", "regression"] = "auto"
    test_fraction: float = 0.3
    categorical: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    missing: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    missing_indicator: bool = False
    scale: bool = True
    image_size: tuple[int, int] | None = None
    split: Split | None = None
    allow_raw_data: bool = False
    note: str = ""


@dataclass(frozen=True, config=STRICT)
class TrainingSettings:
    """How the sites train. `steps` and `evaluate_every` count local steps (mini-batches)."""

    steps: int
    lr: float
    batch_size: int | None = None
    loss: str = "auto"
    optimizer: str = "sgd"
    optimizer_settings: dict[str, Any] = field(default_factory=dict)
    optimizer_state: Literal["reset", "stay", "travel"] = "reset"
    buffers: Literal["travel", "stay"] = "travel"
    executor: Literal["auto", "reference", "vectorised"] = "auto"
    evaluate_every: int | None = None


@dataclass(frozen=True, config=STRICT)
class Config:
    """One run: every protocol with every seed on the same kind of data and model."""

    title: str
    data: Data
    model: dict[str, Any]
    training: TrainingSettings
    protocols: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...] = (0,)
    family: str = "training"
    ledger: bool = False

    def __post_init__(self) -> None:
        if not self.protocols:
            raise BadSetting('The config lists no protocol: add [[protocols]] with kind = "FedDC", for example.')
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise BadSetting(f"seeds must be different whole numbers, at least one; got {list(self.seeds)}.")
        if not self.title.strip():
            raise BadSetting("title must say in a few words what the run is about.")


def load(path: str | Path) -> Config:
    """The config in a TOML file; raises `BadSetting`, in one line, for anything that cannot be used."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob("*.toml")] if path.parent.is_dir() else []
        raise BadSetting(f"There is no config file '{path}'.{did_you_mean(path.name, near)}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSetting(f"{path} cannot be read as TOML: {error}.") from error
    config = parse(table)
    if config.data.source.startswith(("/", "~")) or ("/" not in config.data.source and "." not in config.data.source):
        return config
    return with_source(config, str((path.parent / config.data.source).resolve()))


def parse(table: Mapping[str, Any]) -> Config:
    """A config from plain tables."""
    data = table.get("data", {})
    known_keys("the config", table, names(Config))
    for section, value, kind in (
        ("[data]", data, Data),
        ("[data.split]", data.get("split") or {} if isinstance(data, Mapping) else {}, Split),
        ("[training]", table.get("training", {}), TrainingSettings),
    ):
        if not isinstance(value, Mapping):
            raise BadSetting(f"{section} must be a table of settings, got {value!r}.")
        known_keys(section, value, names(kind))
    return build(Config, "the config", table)


def build(kind: type[T], where: str, table: Mapping[str, Any]) -> T:
    """An instance of a settings dataclass; unknown keys and wrong types raise `BadSetting` in one line."""
    known_keys(where, table, names(kind))
    try:
        return TypeAdapter(kind).validate_python(dict(table))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(p) for p in first["loc"])
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, BadSetting):
            raise cause from None
        if first["type"] == "missing":
            raise BadSetting(f"{where} needs '{place}', which is missing.") from None
        raise BadSetting(f"{where}: {place} = {first['input']!r} does not fit: {first['msg']}.") from None


def choose(what: str, table: Mapping[str, Any], known: Mapping[str, type[T]]) -> T:
    """An instance of the class that the key `kind` names, from the other keys."""
    kind = table.get("kind")
    if kind not in known:
        found = "has no kind" if kind is None else f"has kind '{kind}'"
        hint = did_you_mean(str(kind), known)
        raise BadSetting(f"{what} {found}; there are {', '.join(known)}.{hint}")
    rest = {k: v for k, v in table.items() if k != "kind"}
    return build(known[str(kind)], f"{what} {kind}", rest)


def names(kind: type) -> list[str]:
    """The settings of a dataclass."""
    return [f.name for f in fields(kind)]


def known_keys(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse keys that do not exist, with a suggestion."""
    known = list(known)
    for key in table:
        if key not in known:
            hint = did_you_mean(key, known) or f" There are {', '.join(known) or 'none'}."
            raise BadSetting(f"{where} has no setting '{key}'.{hint}")


def with_source(config: Config, source: str) -> Config:
    """The same config with its data source as an absolute path."""
    table = resolved(config)
    table["data"]["source"] = source
    return parse(table)


def resolved(config: Config) -> dict[str, Any]:
    """Every setting as plain tables, without those that are None (TOML has no word for it)."""
    return _without_none(asdict(config))  # type: ignore[no-any-return]


def changed(config: Config) -> dict[str, Any]:
    """The settings that differ from their defaults: what a run's identity is made of."""

    def differing(value: Any, kind: Any) -> dict[str, Any]:
        out = {}
        for f in fields(kind):
            now = getattr(value, f.name)
            default = f.default_factory() if f.default_factory is not MISSING else f.default
            if now != default:
                inner = kind_of.get(f.name) if now is not None else None
                out[f.name] = differing(now, inner) if inner else _without_none(now)
        return out

    kind_of = {"data": Data, "split": Split, "training": TrainingSettings}
    return differing(config, Config)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(v) for v in value]
    return value
