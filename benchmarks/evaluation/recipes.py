"""Recipes: how a model is trained on what was chosen."""

from dataclasses import dataclass
from typing import Self

from echo_stream.errors import ConfigError
from echo_stream.training.config import SampleWeights

LAMBDA = {"ce": 0.0, "structural": 0.5}
"""Weight of the structural loss: none, or the paper's."""

WEIGHING: dict[str, SampleWeights] = {"auto": "auto", "weights": "full", "roots": "sqrt"}
"""What a recipe's part makes of the weights of samples."""


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
    sample_weights : {"auto", "none", "sqrt", "full"}
        What samples weigh: all the same, the square root of how many they stand for
        (`+roots`), how many (`+weights`), or between these, as `train` does (`+auto`).

    Examples
    --------
    >>> Recipe.parse("structural+pool")
    Recipe(structure_weight=0.5, has_pool=True, sample_weights='none')
    """

    structure_weight: float
    has_pool: bool
    sample_weights: SampleWeights

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the recipe of a name.

        Raises
        ------
        ConfigError
            If there is none.
        """
        base, *parts = text.split("+")
        weighing = [part for part in parts if part in WEIGHING]
        if base not in LAMBDA or not set(parts) <= {"pool", *WEIGHING} or len(weighing) > 1:
            msg = (
                "a recipe is ce or structural, with +pool, and one of +auto, +roots and +weights; "
                f"got {text!r}"
            )
            raise ConfigError(msg)
        return cls(LAMBDA[base], "pool" in parts, WEIGHING[weighing[0]] if weighing else "none")
