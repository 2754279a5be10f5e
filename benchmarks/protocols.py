"""Rounds per second of every protocol, vectorised against reference, and of federated averaging against its rivals.

    python benchmarks/protocols.py [--repeats 5] [--rivals pfl,fedlab,flower] [--fresh]

100 small sites of 10 digits each, MLP 64-64-10, plain SGD on full batches; a round is one or ten local steps at every
site, then the protocol's exchange. One torch thread. Rivals take turns, ratios are medians of paired runs, and the
first rounds of each turn, which warm up, are not counted. All rivals must reach the averaged model of a plain PyTorch
loop to 1e-4, and both executors each other's models; else the script fails. It exits with 1 as well when federated
averaging is not `BAR` times as fast as the best rival library. A rival that cannot be installed is named and left out.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import MISSING, fields

import numpy as np
import torch
from library import digits, rounds_alone
from record import Record, Row, load, options, table
from rivals.plain_loop import PlainLoop
from rivals.process import RIVALS, Missing, Rival, installed
from rivals.workloads import WORKLOADS, Arrays, Workload

from unpooled.errors import UnpooledError, Unsupported
from unpooled.training.protocols import PROTOCOLS, DynamicAveraging, FedAvg, PartialAvg, Protocol

BAR = 40.0
"""How many times as many rounds per second as the best of pfl, FedLab and Flower we set out to do."""
AGREE = 1e-4
WORKS = ("a", "a10")
EXAMPLES: Mapping[str, Callable[[int], Protocol]] = {
    "DynamicAveraging": lambda steps: DynamicAveraging(0.003 * steps, steps),
    "PartialAvg": lambda steps: PartialAvg(steps, share="body"),
}
"""Protocols that need more than their periods, each with a round of so many local steps: a newcomer is one line."""
FLOWER_ROUNDS = 3
"""A round of Flower takes seconds."""


def example(name: str, steps: int) -> Protocol | None:
    """The protocol with a round of so many local steps; where models hop and are averaged, every tenth hop is one.

    None where a setting is required that is no period, and `EXAMPLES` has no line.
    """
    if name in EXAMPLES:
        return EXAMPLES[name](steps)
    required = [f.name for f in fields(PROTOCOLS[name]) if f.default is MISSING and f.default_factory is MISSING]
    if not all(setting.endswith("_period") for setting in required):
        return None
    return PROTOCOLS[name](**{setting: steps * 10**i for i, setting in enumerate(required)})


def protocol_row(work: Workload, data: Arrays, name: str, protocol: Protocol, repeats: int) -> Row:
    """Both executors in turns. A protocol that cannot be run on this work says so in the note."""
    row: Row = {"kind": "protocol", "work": work.key, "name": name, "label": protocol.label}
    try:
        plain = [rounds_alone(work, data, protocol, work.rival_rounds, "reference")]
    except UnpooledError as error:
        return {**row, "note": str(error).splitlines()[0]}
    try:
        rounds_alone(work, data, protocol, work.rival_rounds, "vectorised")
    except Unsupported as error:
        ms = float(np.median([plain[0].ms] + [_again(work, data, protocol, "reference") for _ in range(repeats - 1)]))
        return {**row, "reference_ms": ms, "note": str(error).splitlines()[0]}
    fast = []
    for _ in range(repeats):
        fast.append(rounds_alone(work, data, protocol, work.rounds, "vectorised").ms)
        plain.append(rounds_alone(work, data, protocol, work.rival_rounds, "reference"))
    same = rounds_alone(work, data, protocol, work.rival_rounds, "vectorised")
    slow = [p.ms for p in plain[1:]]
    return {
        **row,
        "vectorised_ms": float(np.median(fast)),
        "reference_ms": float(np.median(slow)),
        "vectorised_per_s": 1e3 / float(np.median(fast)),
        "reference_per_s": 1e3 / float(np.median(slow)),
        "ratio": float(np.median(np.array(slow) / np.array(fast))),
        "difference": float((same.models - plain[0].models).abs().max()),
    }


def _again(work: Workload, data: Arrays, protocol: Protocol, executor: str) -> float:
    return rounds_alone(work, data, protocol, work.rival_rounds, executor).ms


def rival_rows(work: Workload, data: Arrays, rivals: list[Rival], repeats: int) -> list[Row]:
    """unpooled, a plain loop and the rival libraries in turns: federated averaging."""
    protocol, few = FedAvg(work.local_steps), {"flower": FLOWER_ROUNDS}
    loop = PlainLoop(work, data)
    loop.rounds(FLOWER_ROUNDS)
    wanted = loop.model()
    ours = rounds_alone(work, data, protocol, FLOWER_ROUNDS, "vectorised")
    difference = {"unpooled": float((ours.models - wanted).abs().max()), "plain loop": 0.0}
    for rival in rivals:
        difference[rival.name] = float((rival.train(work, FLOWER_ROUNDS)[1] - wanted).abs().max())
    ms: dict[str, list[float]] = {name: [] for name in difference}
    for turn in range(repeats):
        ms["unpooled"].append(rounds_alone(work, data, protocol, work.rounds, "vectorised").ms)
        ms["plain loop"].append(loop.rounds(work.rival_rounds) / work.rival_rounds * 1e3)
        for rival in rivals:
            ms[rival.name].append(rival.train(work, few.get(rival.name, work.rival_rounds + 1))[0])
        print(f"    turn {turn + 1} of {repeats}, load {load()}", flush=True)
    versions = {rival.name: f"{RIVALS[rival.name]} {rival.version}" for rival in rivals}
    return [
        {
            "kind": "rival",
            "work": work.key,
            "name": name,
            "label": versions.get(name, f"torch {torch.__version__}" if name == "plain loop" else "vectorised"),
            "ms": float(np.median(times)),
            "min_ms": min(times),
            "per_s": 1e3 / float(np.median(times)),
            "unpooled_faster": float(np.median(np.array(times) / np.array(ms["unpooled"]))),
            "difference": difference[name],
        }
        for name, times in ms.items()
    ]


def against_rivals(record: Record, names: list[str], repeats: int) -> list[str]:
    """Measure what the record lacks; the reasons why some rivals are missing."""
    rows, missing, here = digits(), [], []
    for name in names:
        try:
            installed(name)
            here.append(name)
        except Missing as reason:
            missing.append(reason)
    todo = [k for k in WORKS if any(not record.of(kind="rival", work=k, name=n) for n in ["unpooled", *here])]
    with ExitStack() as workers:
        running = []
        for name in here if todo else []:
            print(f"starting {name}", flush=True)
            try:
                running.append(Rival(name, rows, record.folder / f"{name}.log"))
                workers.callback(running[-1].close)
            except Missing as reason:
                missing.append(reason)
        while todo:
            work = WORKLOADS[todo[0]]
            print(f"({work.key}) {', '.join(r.name for r in running)}, load {load()}", flush=True)
            try:
                found = rival_rows(work, work.data(*rows), running, repeats)
            except Missing as reason:
                missing.append(reason)
                running = [r for r in running if r.name != reason.rival]
                continue
            record.drop(kind="rival", work=work.key)
            record.add(found)
            todo.pop(0)
    return [str(reason) for reason in missing]


def show(record: Record) -> list[str]:
    """Print the tables and write them; what is wrong or lost, in words."""
    parts, wrong = [], []
    for key in WORKS:
        title = WORKLOADS[key].title if key == "a" else WORKLOADS["a"].title
        steps = WORKLOADS[key].local_steps
        head = f"**{title}; {steps} local step{'s' * (steps > 1)} a round**"
        libraries = record.of(kind="rival", work=key)
        if libraries:
            parts.append(head + ", federated averaging\n\n" + table(RIVAL_COLUMNS, libraries))
            best = min((r for r in libraries if r["name"] in RIVALS), key=lambda r: r["unpooled_faster"], default=None)
            if best is not None:
                held = best["unpooled_faster"] >= BAR
                verdict = f"at least {BAR:.0f} times the best rival library: {'held' if held else 'MISSED'}"
                verdict += f", {best['unpooled_faster']:.1f} times {best['name']}"
                parts.append(f"Bar for ({key}): {verdict}.")
                wrong += [] if held else [f"({key}) {verdict}"]
        protocols = record.of(kind="protocol", work=key)
        if protocols:
            parts.append(head + ", every protocol\n\n" + table(PROTOCOL_COLUMNS, protocols))
        lost = [f"{r['label']} ({r['ratio']:.2f})" for r in protocols if (r.get("ratio") or 2.0) < 1]
        lost += [f"{r['name']} ({r['unpooled_faster']:.2f})" for r in libraries if r["unpooled_faster"] < 1]
        parts.append(f"Where we lose in ({key}): {', '.join(lost) or 'nowhere'}.")
        wrong += [
            f"({key}) {r['label']}: models differ by {r['difference']:.1e}"
            for r in [*libraries, *protocols]
            if r.get("difference") is not None and not r["difference"] <= AGREE
        ]
    text = "\n\n".join(parts)
    print("\n" + text + "\n")
    record.write(text)
    return wrong


RIVAL_COLUMNS = {
    "": "{name}",
    "version": "{label}",
    "rounds per second": "{per_s:.2f}",
    "ms a round": "{ms:.2f}",
    "unpooled is faster by": "{unpooled_faster:.1f} x",
    "models differ by": "{difference:.0e}",
}
PROTOCOL_COLUMNS = {
    "protocol": "{label}",
    "rounds per second, vectorised": "{vectorised_per_s:.0f}",
    "reference": "{reference_per_s:.1f}",
    "ratio": "{ratio:.1f} x",
    "models differ by": "{difference:.0e}",
    "": "{note}",
}


def main() -> int:
    """Exit status 1 when the bar is missed, models differ, or a protocol has no example here."""
    parser = options(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rivals", default=",".join(RIVALS), help="which rival libraries, of pfl, fedlab, flower")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(__file__, ("kind", "work", "name"), seed=0, fresh=chosen.fresh, folder=chosen.out)
    print(f"load {load()}; {chosen.repeats} turns each")
    problems = [f"{name} needs a line in EXAMPLES of this script" for name in PROTOCOLS if not example(name, 1)]
    missing = against_rivals(record, [name for name in chosen.rivals.split(",") if name], chosen.repeats)
    rows = digits()
    for key in WORKS:
        work = WORKLOADS[key]
        data = work.data(*rows)
        for name in PROTOCOLS:
            protocol = example(name, work.local_steps)
            if protocol is not None and not record.of(kind="protocol", work=key, name=name):
                print(f"({key}) {protocol.label}, load {load()}", flush=True)
                record.add([protocol_row(work, data, name, protocol, chosen.repeats)])
    problems += show(record)
    for problem in problems:
        print(f"FAILED: {problem}")
    for reason in missing:
        print(f"NOTE: {reason}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
