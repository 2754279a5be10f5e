"""Run a script cell by cell in one namespace, and keep what each cell printed and showed."""

from __future__ import annotations

import ast
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from unpooled.errors import BadSetting
from unpooled.explain.cells import Cell, cells
from unpooled.explain.listing import Explanation, Setting


@dataclass(frozen=True)
class Step:
    """A cell that ran: what it printed, and the value of its last expression (None if it ends otherwise)."""

    cell: Cell
    printed: str = ""
    value: Any = None


@dataclass(frozen=True)
class Ran:
    """All cells in order, and the names that the script left behind."""

    steps: tuple[Step, ...]
    names: Mapping[str, Any]


def execute(explanation: Explanation, *, quick: bool = False) -> Ran:
    """Run the script; `quick` puts the small settings of its entry in place of the script's own.

    Raises `BadSetting` where the entry names a setting that the script does not assign.
    """
    settings = dict(explanation.quick) if quick else {}
    module = ModuleType(f"unpooled.explain.scripts.{explanation.file.removesuffix('.py')}")
    steps = []
    with _known(module):
        for number, cell in enumerate(cells(explanation.text())):
            step = Step(cell)
            if cell.kind == "code":
                step = _run(cell, f"{explanation.file}, cell {number}", module.__dict__, settings)
            steps.append(step)
    if settings:
        raise BadSetting(f"{explanation.file} assigns no {', '.join(settings)}: correct its quick form in the list.")
    return Ran(tuple(steps), module.__dict__)


def _run(cell: Cell, file: str, names: dict[str, Any], settings: dict[str, Setting]) -> Step:
    body = ast.parse(cell.text, file).body
    for statement in body:
        _replace(statement, settings)
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    value = None
    with redirect_stdout(io.StringIO()) as printed:
        exec(compile(ast.Module(body, []), file, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), file, "eval"), names)
    return Step(cell, printed.getvalue(), value)


def _replace(statement: ast.stmt, settings: dict[str, Setting]) -> None:
    """Put a setting in place of the value that `NAME = ...` assigns, and take it off the list."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        if isinstance(target, ast.Name) and target.id in settings:
            statement.value = ast.parse(repr(settings.pop(target.id)), mode="eval").body


@contextmanager
def _known(module: ModuleType) -> Iterator[None]:
    """Let the module be found by its name while it runs, as classes defined in it need."""
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        if before is None:
            del sys.modules[module.__name__]
        else:
            sys.modules[module.__name__] = before
