"""What pytest leaves out of the source: modules for a library that is not installed here."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [] if find_spec("flwr") else ["src/unpooled/sites/transports/flower"]
