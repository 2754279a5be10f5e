"""Records and figures -> one self-contained HTML page, without torch and without data."""

from unpooled.report.families import FAMILIES
from unpooled.report.write import write_report

__all__ = ["FAMILIES", "write_report"]
