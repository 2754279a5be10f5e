"""Milliseconds a round of federated averaging against a plain PyTorch loop and pfl, on small and awkward workloads.

    python benchmarks/rounds.py [--works a,b] [--threads 1,2] [--repeats 5] [--no-pfl] [--fresh]

unpooled runs through its public path, `Training` and `run`: with the door (policy, traffic counting), the exchange and
one evaluation after the last round. The plain loop averages parameters with care, the textbook one by state dicts.
Rivals take turns, so that a noisy machine hits all alike; ratios are medians of paired runs. Every rival must end with
the same averaged model (to 1e-4), else the script fails.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import torch
from library import arithmetic, digits, whole_run
from record import Record, Row, load, options, table
from rivals.plain_loop import PlainLoop, TextbookLoop
from rivals.process import Missing, Rival
from rivals.workloads import WORKLOADS, Arrays, Workload

from unpooled.seeds import Streams
from unpooled.training.batches import Batches
from unpooled.training.protocols import FedAvg


def same_models(work: Workload, data: Arrays, pfl: Rival | None) -> float:
    """The largest difference between what the rivals compute in a few rounds; pfl shuffles no mini-batches alike."""
    rounds = min(5, work.rival_rounds)
    batches = [Batches(Streams(0), f"s{i}", len(y), work.batch) for i, (_, y) in enumerate(data)]
    loop = PlainLoop(work, data, lambda i, t: torch.from_numpy(batches[i](t)))
    loop.rounds(rounds)
    models = [whole_run(work, data, FedAvg(work.local_steps), rounds).models[0]]
    if pfl is not None and work.batch is None:
        models.append(pfl.train(work, rounds)[1])
    return max(float((m - loop.model()).abs().max()) for m in models)


def first_result(work: Workload, threads: int) -> float:
    """Seconds from the training call to the end of the first round, in a process that has only imported."""
    command = [sys.executable, __file__, "--first", work.key, "--threads", str(threads)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(work: Workload, threads: int, repeats: int, pfl: Rival | None) -> list[Row]:
    """One row a rival, all measured in turns."""
    torch.set_num_threads(threads)
    data, protocol = work.data(*digits()), FedAvg(work.local_steps)
    difference = same_models(work, data, pfl)
    loops = {"plain loop": PlainLoop(work, data), "textbook": TextbookLoop(work, data)}
    for loop in loops.values():
        loop.rounds(1)
    times: dict[str, list[float]] = {"unpooled": [], **{name: [] for name in loops}}
    if work.key in ARITHMETIC:
        times["arithmetic"] = []
    firsts, executors = [], set()
    for _ in range(repeats):
        ours = whole_run(work, data, protocol, work.rounds)
        times["unpooled"].append(ours.ms)
        executors.add(ours.executor)
        firsts.append(ours.first)
        if "arithmetic" in times:
            times["arithmetic"].append(arithmetic(work, data, work.rounds))
        for name, loop in loops.items():
            times[name].append(loop.rounds(work.rival_rounds) / work.rival_rounds * 1e3)
        if pfl is not None:
            times.setdefault("pfl", []).append(pfl.train(work, work.rival_rounds + 1)[0])
    whole = np.median([(f + r * (work.rounds - 1) / 1e3) for f, r in zip(firsts, times["unpooled"], strict=True)])
    shared = {
        "executor": "/".join(sorted(executors)),
        "first_result_s": first_result(work, threads),
        "rounds": work.rounds,
        "whole_s": float(whole),
        "difference": difference,
    }
    return [
        {
            "work": work.key,
            "threads": threads,
            "name": name,
            "title": work.title,
            "ms": float(np.median(values)),
            "min_ms": min(values),
            "unpooled_faster": float(np.median(np.array(values) / np.array(times["unpooled"]))),
            **shared,
        }
        for name, values in times.items()
    ]


ARITHMETIC = ("a", "b")
"""Workloads whose arithmetic is measured by itself: their bars ask for less time than it takes."""
COLUMNS = {
    "": "({work}) {title}",
    "threads": "{threads}",
    "trained by": "{executor}",
    "ms a round": "{ms:.2f}",
    "arithmetic alone": "{arithmetic}",
    "x plain loop": "{plain loop:.1f}",
    "x textbook loop": "{textbook:.1f}",
    "x pfl": "{pfl:.1f}",
    "first result after": "{first_result_s:.1f} s",
    "all rounds": "{rounds} in {whole_s:.1f} s, loop {loop_s:.1f} s",
}


def show(record: Record) -> list[str]:
    """Print the table and write it; what is wrong, in words."""
    lines, wrong = [], []
    for row in record.of(name="unpooled"):
        work, rivals = WORKLOADS[row["work"]], record.of(work=row["work"], threads=row["threads"])
        faster = {r["name"]: r["unpooled_faster"] for r in rivals}
        loop_s = next(r["ms"] for r in rivals if r["name"] == "plain loop") * row["rounds"] / 1e3
        alone = next((f"{r['ms']:.2f} ms" for r in rivals if r["name"] == "arithmetic"), "")
        lines.append({**row, **faster, "loop_s": loop_s, "arithmetic": alone})
        where = f"({work.key}) on {row['threads']} thread{'s' * (row['threads'] > 1)}"
        if work.bar is not None and faster["plain loop"] < work.bar:
            wrong.append(f"{where}: {faster['plain loop']:.1f} times the plain loop, the bar is {work.bar:g}")
        if not row["difference"] < 1e-4:
            wrong.append(f"{where}: models differ by {row['difference']:.1e}")
        if not row["first_result_s"] < 5:
            wrong.append(f"{where}: the first result took {row['first_result_s']:.1f} s, the bar is 5 s")
    bars = "Bars missed: " + ("; ".join(wrong) or "none") + "."
    text = f"{table(COLUMNS, lines)}\n\n{bars}"
    print(f"\n{text}\n")
    record.write(text)
    return wrong


def main() -> int:
    """Exit status 1 when a bar is missed or models differ."""
    parser = options(__doc__)
    parser.add_argument("--works", default=",".join(WORKLOADS), help="which workloads, by letter")
    parser.add_argument("--threads", default="1,2", help="numbers of torch threads")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-pfl", action="store_true")
    parser.add_argument("--first", help="only print the seconds to the first result of this workload")
    chosen = parser.parse_args()
    if chosen.first:
        torch.set_num_threads(int(chosen.threads))
        work = WORKLOADS[chosen.first]
        print(whole_run(work, work.data(*digits()), FedAvg(work.local_steps), 1).first)
        return 0
    record = Record(__file__, ("work", "threads", "name"), seed=0, fresh=chosen.fresh, folder=chosen.out)
    print(f"load {load()}; {chosen.repeats} turns each")
    pairs = [(key, int(threads)) for key in chosen.works.split(",") for threads in chosen.threads.split(",")]
    todo = [pair for pair in pairs if not record.of(work=pair[0], threads=pair[1])]
    pfl, note = None, ""
    if todo and not chosen.no_pfl:
        try:
            pfl = Rival("pfl", digits(), chosen.out / "pfl.log")
        except Missing as reason:
            note = str(reason)
    try:
        for key, threads in todo:
            print(f"({key}) {WORKLOADS[key].title}; torch threads {threads}, load {load()}", flush=True)
            record.add(measure(WORKLOADS[key], threads, chosen.repeats, pfl))
    finally:
        if pfl is not None:
            pfl.close()
    problems = show(record)
    for problem in problems:
        print(f"FAILED: {problem}")
    if note:
        print(f"NOTE: {note}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
