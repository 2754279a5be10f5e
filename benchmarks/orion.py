"""Seconds of ORION on nonlinear data, and how they grow with the number of environments.

    python benchmarks/orion.py [--environments 1,2,5,10] [--nodes 10] [--rows 1000] [--fresh]

Erdős-Rényi graph of average degree 2.5, additive noise, one variable cut off from its parents in every second
environment. The run over sites is beside the run with all tables at hand, whose result it must equal to the last bit.
Environments differ in what their functions cost, so the CPU seconds of all together are compared with the sum over each
alone. One thread. Compiling and imports are not counted. Exits with 1 where a bar is missed: 30 s for 10 variables in 5
environments of 1000 rows, and all together at most 1.5 times the sum over each alone.
"""

from __future__ import annotations

import sys
import time

from nonlinear import sample
from record import Record, Row, load, options

from unpooled.causal.generators import erdos_renyi
from unpooled.causal.graphs.metrics import arrows, shd
from unpooled.causal.orion import Orion, orion, orion_of_tables
from unpooled.seeds import Streams
from unpooled.sites.loading import read_sites
from unpooled.sites.transports.in_process import InProcess

SECONDS, GROWTH = 30.0, 1.5


def main() -> int:
    """Exit status 1 when a bar is missed."""
    parser = options(__doc__)
    parser.add_argument("--environments", default="1,2,5,10")
    parser.add_argument("--nodes", type=int, default=10)
    parser.add_argument("--rows", type=int, default=1000)
    chosen = parser.parse_args()
    record = Record(__file__, ("nodes", "rows", "environments"), seed=0, fresh=chosen.fresh, folder=chosen.out)
    print(f"load {load()}; one thread")
    _measure(3, 60, 2)  # compiles
    for environments in (int(k) for k in chosen.environments.split(",")):
        key = {"nodes": chosen.nodes, "rows": chosen.rows, "environments": environments}
        if not record.of(**key):
            record.add([{**key, **_measure(chosen.nodes, chosen.rows, environments)}])
            print(record.of(**key), flush=True)
    columns = {
        "variables": "{nodes}",
        "rows": "{rows}",
        "environments": "{environments}",
        "seconds": "{seconds:.1f}",
        "CPU seconds": "{cpu:.1f}",
        "sum over each environment alone": "{alone:.1f}",
        "over the door, seconds": "{door:.1f}",
        "numbers told by a site": "{told}",
        "SHD": "{shd}",
        "F1 of arrows": "{f1:.2f}",
        "interventions found": "{found} of {cut}, {more} more",
    }
    return record.finish(columns, _missed(record.rows))


def _measure(nodes: int, rows: int, environments: int) -> Row:
    rng = Streams(0).generator("orion", nodes)
    dag = erdos_renyi(nodes, min(2.5, nodes - 1), rng)
    children = [name for j, name in enumerate(dag.names) if dag.parents(j)]
    cuts = {f"e{k:02}": [children[k % len(children)]] if k % 2 and children else [] for k in range(environments)}
    tables = {
        name: sample(dag, rows, Streams(0).generator("orion", nodes, name), cut=cut) for name, cut in cuts.items()
    }
    start, work = time.perf_counter(), time.process_time()
    found = orion_of_tables(tables)
    seconds, cpu = time.perf_counter() - start, time.process_time() - work
    work = time.process_time()
    for name, table in tables.items():
        orion_of_tables({name: table})
    alone = time.process_time() - work
    sites = InProcess.of(read_sites(tables)[0])
    start = time.perf_counter()
    over = orion(sites)
    door = time.perf_counter() - start
    if not _same(found, over):
        raise SystemExit("The run over sites found something else than the run with all tables at hand.")
    true = {(name, variable) for name, cut in cuts.items() for variable in cut}
    hits = {(t.environment, t.variable) for t in found.targets}
    return {
        "seconds": seconds,
        "cpu": cpu,
        "alone": alone,
        "door": door,
        "told": int(sites.traffic.kinds["edge_tests"][0, 1]) // 8,
        "shd": shd(dag, found.graph),
        "f1": arrows(dag, found.graph).f1,
        "cut": len(true),
        "found": len(true & hits),
        "more": len(hits - true),
    }


def _same(a: Orion, b: Orion) -> bool:
    return (a.graph, a.score, a.targets, dict(a.gains)) == (b.graph, b.score, b.targets, dict(b.gains))


def _missed(rows: list[Row]) -> list[str]:
    lines = []
    for r in rows:
        if (r["nodes"], r["rows"], r["environments"]) == (10, 1000, 5) and float(r["seconds"]) > SECONDS:
            lines.append(f"{r['seconds']:.0f} s for 10 variables in 5 environments, the bar is {SECONDS:.0f}")
        if float(r["cpu"]) > GROWTH * float(r["alone"]):
            lines.append(f"{r['cpu']:.1f} CPU s for {r['environments']} environments, {r['alone']:.1f} for each alone")
    return lines


if __name__ == "__main__":
    sys.exit(main())
