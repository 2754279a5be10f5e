"""These tests run where an engine is installed: `make engines`. In `make test` they are not collected."""

from __future__ import annotations

from importlib.util import find_spec

INSTALLED = [name for name in ("distributed", "ray", "pyspark") if find_spec(name)]
collect_ignore_glob = [] if INSTALLED else ["*.py"]
