"""Which score is announced to the sites, for data of a kind and a method."""

from __future__ import annotations

from unpooled.errors import BadData, BadSetting, did_you_mean

BY_KIND: dict[str, dict[str, str]] = {
    "numbers": {"bic": "bic", "aic": "aic", "mdl": "mdl"},
    "categories": {"bic": "discrete_bic", "bdeu": "bdeu"},
    "numbers and categories": {"bic": "conditional_gaussian"},
}
"""The scores that fit each kind of data, and what they are called at the sites."""
BY_METHOD = {
    "peri": ("bic", "aic", "bdeu", "mdl"),
    "ges": ("bic", "aic", "bdeu"),
    "globe": ("mdl",),
    "orion": ("mdl", "bic"),
    "combined": ("bic",),
}
"""The scores of each method; "auto" is the first that fits the data."""
OF_NUMBERS = frozenset({"globe", "orion", "combined"})
"""The methods that take nothing else."""
SCORES = ("auto", *dict.fromkeys(name for fitting in BY_KIND.values() for name in fitting))


def choose(name: str, kind: str, method: str) -> str:
    """The score as it is called at the sites; raises `BadSetting` for one that does not fit the data or the method."""
    if name not in SCORES:
        raise BadSetting(f"There is no score {name!r}; there are {', '.join(SCORES)}.{did_you_mean(name, SCORES)}")
    if name != "auto" and name not in BY_METHOD[method]:
        raise BadSetting(f"The score '{name}' is not one of method '{method}': use {_or(BY_METHOD[method])}.")
    fitting = [known for known in BY_METHOD[method] if known in BY_KIND[kind]]
    if kind != "numbers" and method in OF_NUMBERS:
        raise BadData(
            f"Method '{method}' is of numbers, and the data hold {kind}: use method='peri' or 'ges', or leave the "
            "categories out with drop."
        )
    if name == "auto":
        name = fitting[0]
    if name not in fitting:
        raise BadSetting(f"The score '{name}' is not of {kind}, which the data hold: use {_or(fitting)}.")
    return BY_KIND[kind][name]


def _or(names: tuple[str, ...] | list[str]) -> str:
    return " or ".join(f"'{known}'" for known in names)
