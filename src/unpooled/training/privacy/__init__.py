"""What a site does so that its answers tell less: noise, an account of what was spent, and secure sums."""

from unpooled.training.privacy.settings import DPSGD, PRIVACY, ClipAndNoise, Privacy

__all__ = ["DPSGD", "PRIVACY", "ClipAndNoise", "Privacy"]
