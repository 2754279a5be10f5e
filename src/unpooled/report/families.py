"""Which page shows which family: one row a family, and nothing else in the report depends on it."""

from __future__ import annotations

from unpooled.report.causal import causal_page
from unpooled.report.connectivity import connectivity_page
from unpooled.report.section import Page
from unpooled.report.streams import streams_page
from unpooled.report.study import study_page
from unpooled.report.training import training_page

FAMILIES: dict[str, Page] = {
    "training": training_page,
    "streams": streams_page,
    "connectivity": connectivity_page,
    "causal": causal_page,
    "study": study_page,
}
