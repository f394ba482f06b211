"""What river asks of its learners beyond what scikit-learn asks of its estimators."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Self

from sklearn.base import BaseEstimator, clone


class RiverEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """An estimator of scikit-learn that can be a step of river's pipelines."""

    def clone(
        self, new_params: Mapping[str, Any] | None = None, *, include_attributes: bool = False
    ) -> Self:
        """Return a copy with some parameters changed, as river's pipelines need.

        Parameters
        ----------
        new_params : mapping, optional
            Parameters by name.
        include_attributes : bool
            Whether the copy keeps the samples counted; else it is empty.
        """
        copied: Self = deepcopy(self) if include_attributes else clone(self)
        copied.set_params(**(new_params or {}))
        return copied

    @property
    def _supervised(self) -> bool:
        """Tell river's pipelines to pass labels on."""
        return True
