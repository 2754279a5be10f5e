"""Graphs in and out: networkx, DOT, GraphML."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np

from unpooled.causal.graphs.pdag import PDAG
from unpooled.errors import BadData


def to_networkx(graph: PDAG) -> nx.DiGraph[str]:
    """A `DiGraph`; a line is two edges, and each edge tells which it is: `direction` is "known" or "unknown"."""
    result: nx.DiGraph[str] = nx.DiGraph()
    result.add_nodes_from(graph.names)
    for a, mark, b in graph.edges():
        if mark == "->":
            result.add_edge(a, b, direction="known")
        else:
            result.add_edge(a, b, direction="unknown")
            result.add_edge(b, a, direction="unknown")
    return result


def from_networkx(graph: nx.Graph[Any]) -> PDAG:
    """From a `DiGraph` (two opposite edges are a line) or a `Graph` (lines only); nodes become their `str`.

    Raises `BadData` for a multigraph, and for what `PDAG` refuses.
    """
    if graph.is_multigraph():
        raise BadData("A multigraph has several edges between two nodes: convert it to networkx.DiGraph first.")
    nodes = list(graph.nodes)
    index = {node: i for i, node in enumerate(nodes)}
    matrix = np.zeros((len(nodes), len(nodes)), bool)
    for a, b in graph.edges:
        matrix[index[a], index[b]] = True
        matrix[index[b], index[a]] |= not graph.is_directed()
    return PDAG(matrix, [str(n) for n in nodes])


def to_dot(graph: PDAG) -> str:
    """A graph in Graphviz's language; lines are drawn without arrowheads.

    >>> print(to_dot(PDAG.from_edges(["a", "b c"], lines=[("a", "b c")])))
    digraph {
      "a";
      "b c";
      "a" -> "b c" [dir=none];
    }
    """
    nodes = [f"  {_quoted(name)};" for name in graph.names]
    edges = [f"  {_quoted(a)} -> {_quoted(b)}{'' if mark == '->' else ' [dir=none]'};" for a, mark, b in graph.edges()]
    return "\n".join(["digraph {", *nodes, *edges, "}"])


def to_graphml(graph: PDAG) -> str:
    """GraphML of `to_networkx`, edge attribute `direction` included."""
    return "\n".join(nx.generate_graphml(to_networkx(graph)))


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
