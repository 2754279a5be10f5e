"""What a run rests on, asked of the sites before any work, so that data which cannot be used are refused first."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from unpooled.errors import BadData, BadSetting
from unpooled.runs.cells import recipe_of
from unpooled.runs.config import Config
from unpooled.runs.openers import HERE, Opener
from unpooled.runs.resolve import protocols_of
from unpooled.runs.sources import Source, for_validation, holdings, open_source


def data_facts(config: Config, opener: Opener = HERE) -> dict[str, Any]:
    """What the report says of data and model, from the first seed. Nothing is written.

    The data of every seed are opened once, those of real sites under the first only. Raises `BadData` and `BadSetting`
    for what could only fail later.
    """
    _refuse_raw_rows(config)
    tune = config.tune
    if tune is not None and not opener.simulated:
        raise BadSetting(
            "[tune] holds rows back at every site, which only a simulation can do: set lr in [training] for real sites."
        )
    source, tests = _opened(config, config.seeds[0], opener)
    for seed in config.seeds[1:] if opener.simulated else ():
        _opened(config, seed, opener)
    if tune is not None:
        for seed in dict.fromkeys(seed for own in config.seeds for seed in tune.seeds_for(own)):
            for_validation(open_source(config.data, seed), tune.validation_fraction, seed)
    made = recipe_of(config, source, config.seeds[0], config.training.lr or min(tune.lr if tune else ()))
    classes = source.schema.classes
    return {
        "data": {
            "source": Path(config.data.source).name,
            "task": "regression" if classes is None else "classification",
            "sites": holdings(source),
            "features": prod(source.schema.shape),
            "test": "sites" if source.test is None else "central",
            "test_samples": tests,
            "test_fixed": config.data.test_seed is not None or config.data.test_part is not None,
            "note": config.data.note,
            "words": dict(config.data.words),
        },
        "model": {
            "kind": str(config.model.get("kind")),
            "parameters": sum(p.numel() for p in made.module.parameters()),
            "bytes": sum(p.numel() * p.element_size() for p in made.module.parameters()),
        },
        "warnings": list(source.schema.warnings),
        "simulated": opener.simulated,
    }


def _opened(config: Config, seed: int, opener: Opener) -> tuple[Source, int]:
    """The data of one seed, and how many test samples there are."""
    source = opener.open(config, seed, None, "facts")
    tests = sum(s["test_samples"] for s in holdings(source)) if source.test is None else len(source.test)
    if tests == 0:
        raise BadData("No site has test samples: set test_fraction in [data] above 0.")
    return source, tests


def _refuse_raw_rows(config: Config) -> None:
    """The pooled comparison needs the rows of real sites, which only their owner can allow."""
    needing = [p.label for p in protocols_of(config) if p.simulation_only]
    if needing and config.data.split is None and not config.data.allow_raw_data:
        raise BadSetting(
            f"{needing[0]} trains on the rows of all sites, which they keep at home: leave it out, or set "
            "allow_raw_data = true in [data] if these rows may be put together."
        )
