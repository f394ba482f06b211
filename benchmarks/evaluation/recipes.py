"""Recipes: how a model is trained on what was chosen."""

from dataclasses import dataclass
from typing import Self

from echo_stream.errors import ConfigError

LAMBDA = {"ce": 0.0, "structural": 0.5}
"""Weight of the structural loss: none, or the paper's."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recipe, written such as `structural+pool`.

    Attributes
    ----------
    structure_weight : float
        The paper's lambda: `ce` has cross-entropy alone, `structural` the paper's 1/2.
    has_pool : bool
        Whether as many random samples again serve as support. Under P1 they are half of
        the budget.
    has_weights : bool
        Whether samples are weighed by what they stand for.

    Examples
    --------
    >>> Recipe.parse("structural+pool")
    Recipe(structure_weight=0.5, has_pool=True, has_weights=False)
    """

    structure_weight: float
    has_pool: bool
    has_weights: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the recipe of a name.

        Raises
        ------
        ConfigError
            If there is none.
        """
        base, *parts = text.split("+")
        if base not in LAMBDA or not set(parts) <= {"pool", "weights"}:
            msg = f"a recipe is ce or structural, with +pool, +weights or both; got {text!r}"
            raise ConfigError(msg)
        return cls(LAMBDA[base], "pool" in parts, "weights" in parts)
