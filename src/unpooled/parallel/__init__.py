"""Black-box parallelisation of scikit-learn learners: many fits to parts of the data, one model of the same kind.

machine = RadonMachine(LinearSVC(), n_jobs=-1).fit(X, y)      # as many parts as the rows allow
print(RadonMachine.plan(n=5_000_000, d=19, workers=8))        # before anything is fitted
"""

from __future__ import annotations

from unpooled.parallel.averaging import AveragingMachineClassifier, AveragingMachineRegressor
from unpooled.parallel.machines import RadonMachine, RadonMachineClassifier, RadonMachineRegressor
from unpooled.parallel.parquet import Parquet
from unpooled.parallel.planning import RadonPlan, plan
from unpooled.parallel.warning import MachineWarning

__all__ = [
    "AveragingMachineClassifier",
    "AveragingMachineRegressor",
    "MachineWarning",
    "Parquet",
    "RadonMachine",
    "RadonMachineClassifier",
    "RadonMachineRegressor",
    "RadonPlan",
    "plan",
]
