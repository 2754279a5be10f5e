"""What a site does so that its answers tell less: noise, an account of what was spent, and secure sums."""

from unpooled.training.privacy.settings import PRIVACY, ClipAndNoise, Privacy

__all__ = ["PRIVACY", "ClipAndNoise", "Privacy"]
