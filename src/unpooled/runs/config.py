"""A run's settings: a TOML table is a frozen dataclass and nothing more. Unknown keys are refused with a suggestion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, field, fields, replace
from math import inf
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from unpooled.errors import BadSetting, positive
from unpooled.runs.pooled import POOLED
from unpooled.runs.tables import build, known_keys, names, read_toml, without_none
from unpooled.sites.transports.remote import Patience
from unpooled.training.tuning import Tune

STRICT = ConfigDict(extra="forbid")
REAL_SITES = "real sites"
"""The `source` of a run whose sites each have data of their own, on their own machines."""


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
    With `test_seed` the test rows are the same under every seed of the run. For a pooled NPZ file with arrays called
    train_..., val_... or test_..., `test_part` names the part to test on, instead of a fraction. `image_size` (height,
    width) of pooled images must divide theirs: a new pixel is the mean of a block of old ones.
    `allow_raw_data` lets sites hand out rows for the pooled comparison. `words` say what the report calls a site and a
    row, such as { site = "hospital", row = "patient" }.
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
    test_seed: int | None = None
    test_part: str | None = None
    note: str = ""
    words: dict[Literal["site", "sites", "row", "rows"], str] = field(default_factory=dict)


@dataclass(frozen=True, config=STRICT)
class TrainingSettings:
    """How the sites train. `steps` and `evaluate_every` count local steps (mini-batches). [tune] replaces `lr`."""

    steps: int
    lr: float | None = None
    batch_size: int | None = None
    loss: str = "auto"
    optimizer: str = "sgd"
    optimizer_settings: dict[str, Any] = field(default_factory=dict)
    optimizer_state: Literal["reset", "stay", "travel"] = "reset"
    buffers: Literal["travel", "stay"] = "travel"
    executor: Literal["auto", "reference", "vectorised"] = "auto"
    secure_sum: bool = False
    sealed_hops: bool = False
    evaluate_every: int | None = None

    def __post_init__(self) -> None:
        positive(steps=self.steps)
        for name in ("batch_size", "evaluate_every"):
            if getattr(self, name) is not None:
                positive(**{name: getattr(self, name)})
        if self.lr is not None and not 0.0 < self.lr < inf:
            raise BadSetting(f"lr must be a number above 0, got {self.lr!r}.")


@dataclass(frozen=True, config=STRICT)
class Config:
    """One run: every protocol with every seed on the same kind of data and model.

    `privacy` is a table such as { kind = "clip_and_noise", clip = 2.0, noise = 0.5 } (`unpooled.training.privacy`).
    `headline` is the label of the protocol that the report speaks of first; without it, the one with the best mean.
    With `tune` every protocol chooses its learning rate on validation rows. `federation` says how long a coordinator of
    real sites waits for them; a simulation has nobody to wait for.
    """

    title: str
    data: Data
    model: dict[str, Any]
    training: TrainingSettings
    protocols: tuple[dict[str, Any], ...]
    seeds: tuple[int, ...] = (0,)
    family: str = "training"
    ledger: bool = False
    privacy: dict[str, Any] | None = None
    headline: str | None = None
    tune: Tune | None = None
    federation: Patience | None = None

    def __post_init__(self) -> None:
        if not self.protocols:
            raise BadSetting('The config lists no protocol: add [[protocols]] with kind = "FedDC", for example.')
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise BadSetting(f"seeds must be different whole numbers, at least one; got {list(self.seeds)}.")
        if not self.title.strip():
            raise BadSetting("title must say in a few words what the run is about.")
        if (self.training.lr is None) == (self.tune is None):
            found = "has neither lr nor" if self.tune is None else "has lr beside"
            raise BadSetting(f"[training] {found} a table [tune]: set a learning rate, or let [tune] choose one.")
        if self.tune is not None and self.privacy is not None:
            raise BadSetting(
                "[tune] tries several trainings, and [privacy] accounts for one: what the others tell would not be "
                "counted. Set lr in [training], or leave [privacy] out while choosing."
            )
        fixed = self.data.test_seed is not None or self.data.test_part is not None
        if self.tune is not None and self.tune.seeds is not None and not fixed:
            raise BadSetting(
                "[tune] seeds choose for all seeds together, whose test rows then must be the same: set test_seed = 0 "
                "in [data], or leave seeds out of [tune], so that each seed chooses for itself."
            )


def load(path: str | Path) -> Config:
    """The config in a TOML file; raises `BadSetting`, in one line, for anything that cannot be used."""
    path = Path(path)
    return with_source(parse(read_toml(path)), folder=path.parent)


def parse(table: Mapping[str, Any]) -> Config:
    """A config from plain tables."""
    data = table.get("data", {})
    known_keys("the config", table, names(Config))
    for section, value, kind in (
        ("[data]", data, Data),
        ("[data.split]", data.get("split") or {} if isinstance(data, Mapping) else {}, Split),
        ("[training]", table.get("training", {}), TrainingSettings),
        ("[tune]", table.get("tune", {}), Tune),
        ("[federation]", table.get("federation", {}), Patience),
    ):
        if not isinstance(value, Mapping):
            raise BadSetting(f"{section} must be a table of settings, got {value!r}.")
        known_keys(section, value, names(kind))
    return build(Config, "the config", table)


def with_source(config: Config, source: str | None = None, *, folder: Path | None = None) -> Config:
    """The config with `source`, or its own, as an absolute path; a relative one starts at `folder` (or where we are).

    The names of pooled sets stay as they are, and so does that of real sites.
    """
    source = config.data.source if source is None else source
    if source not in POOLED and source != REAL_SITES:
        source = str(((folder or Path()) / Path(source).expanduser()).resolve())
    return replace(config, data=replace(config.data, source=source))


def real_sites(config: Config) -> Config:
    """The config without a `source` of its own: each site has its data, on its own machine."""
    return replace(config, data=replace(config.data, source=REAL_SITES))


def resolved(config: Config) -> dict[str, Any]:
    """Every setting as plain tables, without those that are None (TOML has no word for it)."""
    return without_none(asdict(config))  # type: ignore[no-any-return]


def changed(config: Config) -> dict[str, Any]:
    """The settings that differ from their defaults: what a run's identity is made of."""

    def differing(value: Any, kind: Any) -> dict[str, Any]:
        out = {}
        for f in fields(kind):
            now = getattr(value, f.name)
            default = f.default_factory() if f.default_factory is not MISSING else f.default
            if now != default:
                inner = kind_of.get(f.name) if now is not None else None
                out[f.name] = differing(now, inner) if inner else without_none(now)
        return out

    kind_of = {"data": Data, "split": Split, "training": TrainingSettings, "tune": Tune, "federation": Patience}
    return differing(config, Config)
