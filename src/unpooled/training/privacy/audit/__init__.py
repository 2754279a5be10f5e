"""Membership inference against what a protocol shows: how well can one tell who was trained on?"""

from unpooled.training.privacy.audit.attacks import Found
from unpooled.training.privacy.audit.audit import Audit, audit

__all__ = ["Audit", "Found", "audit"]
