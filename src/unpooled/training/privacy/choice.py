"""Which executor trains where privacy is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from unpooled.sites.site import Site
from unpooled.training.executors import Choice, choose
from unpooled.training.privacy.clip_and_noise import ClippingExecutor
from unpooled.training.privacy.dp_sgd import DPSGDExecutor, PerSample, refuse_what_mixes_samples
from unpooled.training.privacy.secure_sum.executor import SumOnlyExecutor
from unpooled.training.privacy.settings import DPSGD, Privacy
from unpooled.training.privacy.stacked_dp_sgd import StackedPerSample
from unpooled.training.recipe import Recipe
from unpooled.training.sealed.executor import SealingExecutor


def choose_private(recipe: Recipe, sites: Sequence[Site]) -> Choice:
    """The executor of a recipe, behind those that guard what it sends."""
    choice = choose(recipe, sites) if recipe.privacy is None else _noisy(recipe, sites, recipe.privacy)
    if recipe.secure_sum:
        choice = Choice(SumOnlyExecutor(choice.executor, sites), choice.reason)
    return Choice(SealingExecutor(choice.executor, sites), choice.reason) if recipe.sealed_hops else choice


def _noisy(recipe: Recipe, sites: Sequence[Site], setting: Privacy) -> Choice:
    """Clip and noise go before any executor; DP-SGD changes the local step of each."""
    if isinstance(setting, DPSGD):
        refuse_what_mixes_samples(recipe)
        choice = choose(recipe, sites, partial(PerSample, setting=setting), partial(StackedPerSample, setting=setting))
        return Choice(DPSGDExecutor(choice.executor, recipe, sites, setting), choice.reason)
    choice = choose(recipe, sites)
    return Choice(ClippingExecutor(choice.executor, recipe, sites, setting), choice.reason)
