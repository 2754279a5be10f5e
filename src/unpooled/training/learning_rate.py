"""What averaging does to the learning rate, and what is known about choosing it.

M. Kamp et al., "Efficient Decentralized Deep Learning by Dynamic Model Averaging", ECML PKDD 2018, Proposition 3: m
learners at one model take one step on B samples each, then average. With a loss SUMMED over the batch,
   mean_i [ f - eta sum_{E_i} g ] = f - (eta / m) sum_{union} g :
one step on all m B samples with learning rate eta / m. With the MEAN loss, which frameworks use, the same algebra gives
one step on all m B samples with the SAME eta. So "averaging divides the learning rate by m" is about summed losses.
Several local steps between averagings do not add up like that: the difference is of order eta^2 for each step more.
"""

from __future__ import annotations

from typing import Literal, get_args

from unpooled import errors
from unpooled.errors import BadSetting, did_you_mean

Loss = Literal["mean", "sum"]


def suggest_lr(
    lr: float,
    *,
    sites: int,
    loss: Loss = "mean",
    aggregate_period: int = 1,
    optimizer: str = "sgd",
) -> float:
    """The learning rate for sites that average after every step, so that it is a serial step of rate `lr`.

    The serial step is one of plain SGD on the union of all sites' batches, which must be of one size. `loss` says how
    the loss adds up a batch: `mean` needs the same rate, `sum` needs `sites` times the rate. This is an identity, not
    advice on how to train well: a batch `sites` times as large may bear a larger rate (scaling it linearly or by the
    square root are rules of thumb that have to be tried), and needs more passes over the data if it does not get one.

    Raises `BadSetting` for several local steps between averagings and for other optimizers, where no rate makes both
    the same: tune it there, from `lr` upwards.

    >>> suggest_lr(0.1, sites=50), suggest_lr(0.1, sites=50, loss="sum")
    (0.1, 5.0)
    """
    errors.above_zero(lr=lr)
    errors.positive(sites=sites, aggregate_period=aggregate_period)
    if loss not in get_args(Loss):
        hint = did_you_mean(str(loss), get_args(Loss))
        raise BadSetting(f"loss must be 'mean' or 'sum' (over a batch), got {loss!r}.{hint}")
    if aggregate_period > 1:
        raise BadSetting(
            f"With {aggregate_period} local steps between averagings no learning rate equals a serial one: they agree "
            "to first order in the rate only. Tune it, beginning with the rate for aggregate_period=1."
        )
    if optimizer.lower() != "sgd":
        raise BadSetting(
            f"Only for plain SGD is the average of steps a step on the average gradient, not for {optimizer}: tune the "
            "learning rate."
        )
    return lr * sites if loss == "sum" else lr
