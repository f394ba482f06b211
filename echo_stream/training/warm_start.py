"""Weights of a model as the beginning of another one's training."""

import torch
from torch import Tensor, nn

from echo_stream.samples.tensors import Shape
from echo_stream.training.fitted import Fitted
from echo_stream.training.models import build_model
from echo_stream.training.targets import Targets


def adopt_weights(model: nn.Module, before: Fitted, targets: Targets, shape: Shape) -> bool:
    """Give a new model the weights of one before it, in place; tell whether they fit.

    Of what belongs to the outputs, rows go to the class that they were of; rows of new
    classes stay as they are. A model of another kind, task, shape or features fits not, and
    changes nothing.

    Parameters
    ----------
    model : nn.Module
        Of `before.spec` if they are to fit, just built.
    before : Fitted
    targets : Targets
        Of the new model.
    shape : tuple of int
        Of the samples that the new model takes.
    """
    old, new = before.model.state_dict(), model.state_dict()
    of_outputs = _of_outputs(before.spec, shape, targets.num_outputs)
    fits = (
        before.targets.task == targets.task
        and before.input_shape == shape
        and old.keys() == new.keys()
        and of_outputs <= new.keys()
        and all(_fits(old[name], new[name], name in of_outputs) for name in new)
    )
    if not fits:
        return False
    for name, tensor in new.items():
        if name in of_outputs and targets.task == "classification":
            _adopt_rows(tensor, old[name], before.targets, targets)
        else:
            tensor.copy_(old[name])
    return True


def _of_outputs(spec: str, shape: Shape, num_outputs: int) -> set[str]:
    """Return the names of tensors whose shape depends on the number of outputs."""
    with torch.random.fork_rng(devices=[]):
        some = build_model(spec, shape, num_outputs).state_dict()
        more = build_model(spec, shape, num_outputs + 1).state_dict()
    return {name for name in some if some[name].shape != more[name].shape}


def _fits(old: Tensor, new: Tensor, is_of_outputs: bool) -> bool:
    """Tell whether a tensor can be taken over, but for the number of its rows if those are free."""
    return old.shape[1:] == new.shape[1:] if is_of_outputs else old.shape == new.shape


def _adopt_rows(tensor: Tensor, old: Tensor, before: Targets, after: Targets) -> None:
    """Copy the rows of classes that were known before, in place."""
    place = {label: row for row, label in enumerate(before.classes)}
    for row, label in enumerate(after.classes):
        if label in place:
            tensor[row] = old[place[label]]
