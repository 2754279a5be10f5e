"""Made-up records of runs, as `unpooled.runs` writes them. Test data: no number here was measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

QUESTIONS = {
    "begin": "That the site is ready: its number of rows and the names of its columns.",
    "moments": "For each column its count, sum and sum of squares; no row.",
    "train": "The parameters of the site's model after its local steps; no row.",
    "evaluate": "The value of each metric of one model on the site's test rows, and their number.",
    "rows": "The rows themselves: every feature and the label of every patient.",
}


@dataclass(frozen=True)
class Made:
    """One made-up protocol: its label, kind, how good it ends up, and what it sends."""

    label: str
    kind: str
    end: float
    local_end: float
    rate: float = 60.0
    events: int = 400
    noise: float = 0.006


FIVE = (
    Made("Local", "Local", 0.885, 0.868, events=0),
    Made("FedAvg(1)", "FedAvg", 0.944, 0.944),
    Made("FedAvg(10)", "FedAvg", 0.921, 0.893, events=40),
    Made("FedDC(1, 10)", "FedDC", 0.941, 0.934),
    Made("Pooled", "Pooled", 0.951, 0.951, rate=30, events=1),
)


@dataclass(frozen=True)
class Plan:
    """What a made-up run looks like."""

    title: str = "Breast cancer: 40 small hospitals"
    name: str = "breast-cancer"
    protocols: Sequence[Made] = FIVE
    sites: Sequence[tuple[str, int, int]] = tuple((f"hospital-{i:02d}", 8, 0) for i in range(40))
    classes: Sequence[str] = ("benign", "malignant")
    seeds: int = 5
    steps: int = 400
    metric: str = "accuracy"
    test: str = "central"
    missing: Sequence[tuple[str, int, str]] = ()
    words: dict[str, str] = field(default_factory=lambda: {"site": "hospital", "row": "patient"})
    warnings: Sequence[str] = ()
    parameters: int = 62
    rates: Sequence[float] = ()


DIGITS = Plan(
    title="Digits: 50 sites with 2 images each",
    name="digits",
    protocols=(
        Made("Local", "Local", 0.31, 0.235, events=0),
        Made("FedAvg(1)", "FedAvg", 0.802, 0.802, noise=0.012),
        Made("FedAvg(10)", "FedAvg", 0.738, 0.43, events=40, noise=0.012),
        Made("FedDC(1, 10)", "FedDC", 0.797, 0.752, noise=0.012),
        Made("Pooled", "Pooled", 0.811, 0.811, rate=30, events=1, noise=0.012),
    ),
    sites=tuple((f"site-{i:02d}", 2, 0) for i in range(50)),
    classes=tuple("0123456789"),
    words={"row": "image"},
    parameters=4810,
    rates=(0.01, 0.1, 1.0),
)
HEART = Plan(
    title="Heart disease: four hospitals",
    name="heart-disease",
    sites=(
        ("Cleveland Clinic Foundation", 212, 91),
        ("Hungarian Institute of Cardiology, Budapest", 205, 89),
        ("V.A. Medical Center, Long Beach, California", 140, 60),
        ("University Hospitals Zürich and Basel, Switzerland", 86, 37),
    ),
    classes=("no disease", "disease"),
    metric="balanced_accuracy",
    test="sites",
    warnings=("Site 'University Hospitals Zürich and Basel, Switzerland' has no value of 'chol': imputed.",),
)
REGRESSION = Plan(
    title="Length of stay",
    name="stay",
    protocols=(
        Made("Local", "Local", 4.8, 5.2, events=0, noise=0.08),
        Made("FedAvg(10)", "FedAvg", 3.9, 4.1, events=40, noise=0.08),
        Made("FedDC(1, 10)", "FedDC", 3.85, 3.95, noise=0.08),
    ),
    sites=tuple((f"ward {i}", 20 + 13 * i, 8 + 3 * i) for i in range(7)),
    classes=(),
    metric="rmse",
    test="sites",
)
ONE_SEED = Plan(title="A first look", name="one-seed", seeds=1)
NASTY = '<script>alert("x")</script> & Söhne $\\alpha$ $5'
INTERRUPTED = Plan(
    title=f"Names with markup {NASTY}",
    name="nasty",
    sites=((NASTY, 31, 12), ("北京 <b>医院</b>", 9, 4), ('O\'Brien & "Sons"', 120, 50)),
    classes=("<yes>", "no & never"),
    test="sites",
    missing=(("FedDC(1, 10)", 4, "interrupted"), ("Pooled", 3, "failed"), ("Pooled", 4, "interrupted")),
    warnings=("Site <i>one</i> & two: column 'a<b' is constant.",),
)
HUNDRED = Plan(
    title="A hundred unequal sites",
    name="zipf",
    sites=tuple((f"site-{i:03d}", max(int(900 / (i + 1)), 2), 0) for i in range(100)),
    classes=tuple(f"class {i}" for i in range(14)),
    words={},
    protocols=(
        *FIVE,
        Made("FedProx(10, mu=0.1)", "FedProx", 0.925, 0.91, events=40),
        Made("DaisyChain(1)", "DaisyChain", 0.7, 0.9),
    ),
)
PLANS = {p.name: p for p in (Plan(), DIGITS, HEART, REGRESSION, ONE_SEED, INTERRUPTED, HUNDRED)}


def write_record(folder: Path, plan: Plan = Plan()) -> Path:
    """Write the made-up run into `folder` and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([len(plan.name), plan.seeds])
    status = {(label, seed): s for label, seed, s in plan.missing}
    for name, frame in (("history", _history(plan, rng, status)), ("sites", _sites(plan, rng, status))):
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    _traffic(plan, status).to_parquet(folder / "traffic.parquet", index=False)
    (folder / "config.toml").write_text(
        f'name = "{plan.name}"\nsteps = {plan.steps}\nlr = 0.1\nseeds = {list(range(plan.seeds))}\n\n'
        '[data]\nsource = "made-up"\n',
        encoding="utf-8",
    )
    environment = {"unpooled": "0.1.0", "python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.6"}
    environment |= {"platform": "Linux-6.1-x86_64", "cores": 2, "threads": 2}
    (folder / "environment.json").write_text(json.dumps(environment), encoding="utf-8")
    (folder / "result.json").write_text(json.dumps(_result(plan, rng, status), ensure_ascii=False), encoding="utf-8")
    return folder


def _better(plan: Plan) -> float:
    return -1.0 if plan.metric == "rmse" else 1.0


def _history(plan: Plan, rng: np.random.Generator, status: dict[tuple[str, int], str]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    start = 9.0 if plan.metric == "rmse" else 1 / max(len(plan.classes), 2)
    model_bytes = 4 * plan.parameters + 120
    for seed in range(plan.seeds):
        shared = rng.normal(0, 0.01)
        for made in plan.protocols:
            steps = list(range(0, plan.steps + 1, 10))
            if (made.label, seed) in status:
                steps = steps[: len(steps) // 2]
            own = rng.normal(0, made.noise)
            for step in steps:
                share = 1 - np.exp(-step / made.rate)
                done = round(made.events * step / plan.steps) if made.events > 1 else made.events
                moved = (
                    done * 2 * model_bytes * len(plan.sites)
                    if made.kind != "Pooled"
                    else 8 * 31 * sum(s[1] for s in plan.sites)
                )
                ends = {"aggregate": made.end, "local_mean": made.local_end}
                ends["local_min"] = made.local_end - _better(plan) * abs(start - made.local_end) * (
                    0.35 if made.kind == "Local" else 0.08
                )
                for model, end in ends.items():
                    wiggle = rng.normal(0, 0.003 * (10 if plan.metric == "rmse" else 1))
                    value = start + (end - start) * share + (shared + own) * share + wiggle
                    value = value if plan.metric == "rmse" else min(max(value, 0.0), 1.0)
                    base = {"protocol": made.label, "seed": seed, "step": step, "model": model}
                    base |= {"bytes": int(moved), "messages": 2 * done * len(plan.sites)}
                    rows.append({**base, "metric": plan.metric, "value": value})
                    rows.append({**base, "metric": "loss", "value": max(0.02, 1.6 * (1 - share) + 0.2)})
    return pd.DataFrame(rows)


def _sites(plan: Plan, rng: np.random.Generator, status: dict[tuple[str, int], str]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    levels = rng.normal(0, 0.35 if plan.metric == "rmse" else 0.03, len(plan.sites))
    for made in plan.protocols:
        for seed in range(plan.seeds):
            if (made.label, seed) in status or (made.kind == "Pooled" and plan.test == "central"):
                continue
            for (site, samples, test_samples), level in zip(plan.sites, levels, strict=True):
                models = (
                    {"local": made.local_end}
                    if plan.test == "central"
                    else {"aggregate": made.end, "local": made.local_end}
                )
                for model, end in models.items():
                    value = end + level + rng.normal(0, made.noise * 3)
                    value = value if plan.metric == "rmse" else min(max(value, 0.0), 1.0)
                    row = {"protocol": made.label, "seed": seed, "site": site, "samples": samples}
                    row |= {
                        "test_samples": test_samples,
                        "model": model,
                        "metric": plan.metric,
                        "value": value,
                    }
                    rows.append(row)
    return pd.DataFrame(rows)


def _traffic(plan: Plan, status: dict[tuple[str, int], str]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    model_bytes = 4 * plan.parameters + 120
    for made in plan.protocols:
        for seed in range(plan.seeds):
            if (made.label, seed) in status:
                continue
            for number, (site, samples, _) in enumerate(plan.sites):
                kinds = {"begin": (1, 90 + len(site), 1, 40), "moments": (1, 31 * 24, 1, 30)}
                kinds["evaluate"] = (41, 41 * 48, 41, 41 * (model_bytes + 20))
                if made.kind == "Pooled":
                    kinds["rows"] = (1, 8 * 31 * samples, 1, 30)
                elif made.events:
                    kinds["train"] = (
                        made.events,
                        made.events * (model_bytes + number % 3),
                        made.events + 1,
                        made.events * model_bytes,
                    )
                for kind, (um, ub, dm, db) in kinds.items():
                    row = {
                        "protocol": made.label,
                        "seed": seed,
                        "site": site,
                        "kind": kind,
                        "up_messages": um,
                    }
                    rows.append({**row, "up_bytes": ub, "down_messages": dm, "down_bytes": db})
    return pd.DataFrame(rows)


def _result(plan: Plan, rng: np.random.Generator, status: dict[tuple[str, int], str]) -> dict[str, Any]:
    sites = []
    for name, samples, test_samples in plan.sites:
        split = rng.multinomial(samples, rng.dirichlet(np.ones(len(plan.classes)))) if plan.classes else []
        counts = {label: int(n) for label, n in zip(plan.classes, split, strict=True)}
        sites.append({"name": name, "samples": samples, "test_samples": test_samples, "classes": counts})
    cells = [
        {
            "protocol": made.label,
            "seed": seed,
            "status": status.get((made.label, seed), "finished"),
            "seconds": round(1.4 + 0.1 * seed, 2),
            "executor": "vectorised",
            "executor_reason": "one step of it took 1.3 ms, one of reference 67 ms",
        }
        for made in plan.protocols
        for seed in range(plan.seeds)
    ]
    return {
        "family": "training",
        "title": plan.title,
        "name": plan.name,
        "identity": "3f9c1a7be2d04455",
        "status": "interrupted" if status else "finished",
        "started": "2025-03-01T10:00:00+00:00",
        "seconds": 41.7,
        "warnings": list(plan.warnings),
        "error": "FedDC(1, 10), seed 4: stopped by the user; `unpooled resume` continues it." if status else None,
        "protocols": [
            {
                "label": made.label,
                "kind": made.kind,
                "settings": {"daisy_period": 1, "aggregate_period": 10} if made.kind == "FedDC" else {},
                "simulation_only": made.kind == "Pooled",
                "note": "All rows in one place." if made.kind == "Pooled" else "",
            }
            for made in plan.protocols
        ],
        "cells": cells,
        "data": {
            "source": "made-up numbers for tests",
            "task": "classification" if plan.classes else "regression",
            "sites": sites,
            "features": 30,
            "test": plan.test,
            "test_samples": 143 if plan.test == "central" else sum(s[2] for s in plan.sites),
            "note": "",
            "words": plan.words,
        },
        "model": {"kind": "mlp 30-2", "parameters": plan.parameters, "bytes": 4 * plan.parameters},
        "steps": plan.steps,
        "main_metric": plan.metric,
        "tuning": _tuning(plan) if plan.rates else None,
        "privacy": {
            "ledger": plan.name == "heart-disease",
            "heads": {s["name"]: "ab" * 32 for s in sites} if plan.name == "heart-disease" else {},
        },
        "questions": QUESTIONS,
    }


def _tuning(plan: Plan) -> dict[str, Any]:
    """Each protocol took the middle rate under all seeds but the first; the last rate failed."""
    tried, chosen = [], []
    for made in plan.protocols:
        for seed in range(plan.seeds):
            for place, lr in enumerate(plan.rates):
                row: dict[str, Any] = {"protocol": made.label, "seed": seed, "lr": lr, "seconds": 0.5, "error": None}
                fails = place == len(plan.rates) - 1
                values = {} if fails else {"accuracy": made.end - 0.1 * (1 - place), "loss": 0.5}
                tried.append({**row, "values": values, "error": "The loss is no number." if fails else None})
            chosen.append({"protocol": made.label, "seed": seed, "lr": plan.rates[0 if seed == 0 else 1]})
    fixed = {"validation_fraction": 0.25, "steps": 200, "metric": "accuracy", "seeds": None}
    return {"lr": list(plan.rates), **fixed, "tried": tried, "chosen": chosen}
