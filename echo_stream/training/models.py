"""Downstream models by name, and the input that they take.

Source: He, Zhang, Ren & Sun (2016), "Deep Residual Learning for Image Recognition", CVPR;
the stem is that of their nets for CIFAR-10 (section 4.2): one 3 x 3 convolution of stride 1,
no pooling.
"""

import math
from collections.abc import Callable
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from echo_stream._common.importing import import_attribute, said
from echo_stream.errors import ConfigError, SettingName
from echo_stream.samples.tensors import Shape, model_shape

Factory: TypeAlias = Callable[[Shape, int], nn.Module]
"""Makes an untrained model from the shape of a sample and the number of classes."""

_LENET_SIDE = 32  # pixels a side of the images that LeNet-5 was drawn for
_LENET_LEAST_SIDE = 28
_HIDDEN_UNITS = 128


def build_model(spec: str, input_shape: Shape, num_classes: int) -> nn.Module:
    """Return an untrained model for samples of one shape.

    Its initial weights come from torch's global random state.

    Parameters
    ----------
    spec : str
        `lenet`, `resnet18`, `mlp`, `logistic`, or `module:factory`, called with
        (input_shape, num_classes).
    input_shape : tuple of int
        Of one sample. An image (h, w) becomes (1, h, w), see `model_shape`.
    num_classes : int
        Logits to give, at least 1; for regression 1, the number itself.

    Raises
    ------
    ConfigError
        When there is no such model, or it does not take this shape.

    Examples
    --------
    >>> build_model("lenet", (28, 28), 10)(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 10])
    """
    shape = model_shape(input_shape)
    if math.prod(shape) < 1 or num_classes < 1:
        msg = f"a model needs input and classes; got shape {shape} and {num_classes} classes"
        raise ConfigError(msg)
    if spec in BUILT_IN:
        return BUILT_IN[spec](shape, num_classes)
    model = _call_factory(spec, shape, num_classes)
    _check_outputs(spec, model, shape, num_classes)
    return model


def check_spec(spec: str) -> None:
    """Raise ConfigError unless a model of this name can be found; nothing is built."""
    if spec not in BUILT_IN:
        _import_factory(spec)


def lenet(input_shape: Shape, num_classes: int) -> nn.Sequential:
    """Return LeNet-5 with ReLU and max-pooling, as the DeepCore library has it.

    Parameters
    ----------
    input_shape : tuple of int
        (c, side, side) with a side of 28 or more. Below 32 the image is padded by 2.
    num_classes : int

    Raises
    ------
    ConfigError
        When the shape is another.
    """
    _check_lenet_shape(input_shape)
    channels, side, _ = input_shape
    padding = 2 if side < _LENET_SIDE else 0
    pooled = ((side + 2 * padding - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=padding),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * pooled**2, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


class _Scaling(nn.Module):
    """Centre vectors, and scale them so that numbers are 1 in size on average.

    One scale for all: the distances between samples keep their proportions. Embeddings of length
    1 have numbers so small that without it a model learns next to nothing in the usual number
    of steps.

    Parameters
    ----------
    dim : int
        Numbers of a vector.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, x: Tensor) -> None:
        """Take the mean and the scale from samples, (n, ...)."""
        flat = x.flatten(1).double()
        mean = flat.mean(dim=0)
        scale = (flat - mean).square().mean().sqrt()
        self.mean.copy_(mean)
        self.scale.copy_(scale if scale > 0 else torch.ones_like(scale))

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled vectors, (n, dim)."""
        return (x - self.mean) / self.scale


def fit_scaling(model: nn.Module, x: Tensor) -> nn.Module:
    """Let a model take the scale of its input from samples, (n, ...), and return it.

    Models of the user's, `lenet` and `resnet18` take samples as they are.
    """
    for layer in model.modules():
        if isinstance(layer, _Scaling):
            layer.fit(x)
    return model


def mlp(input_shape: Shape, num_classes: int) -> nn.Sequential:
    """Return a perceptron with two hidden layers of 128 units, for samples of any shape."""
    return nn.Sequential(
        nn.Flatten(),
        _Scaling(math.prod(input_shape)),
        nn.Linear(math.prod(input_shape), _HIDDEN_UNITS),
        nn.ReLU(),
        nn.Linear(_HIDDEN_UNITS, _HIDDEN_UNITS),
        nn.ReLU(),
        nn.Linear(_HIDDEN_UNITS, num_classes),
    )


def logistic(input_shape: Shape, num_classes: int) -> nn.Sequential:
    """Return logistic regression, or a linear one: the head for features of the user's."""
    dim = math.prod(input_shape)
    return nn.Sequential(nn.Flatten(), _Scaling(dim), nn.Linear(dim, num_classes))


def _check_lenet_shape(shape: Shape) -> None:
    """Refuse shapes other than a square image, channels first, of at least 28 pixels a side."""
    if len(shape) == 3 and shape[1] == shape[2] >= _LENET_LEAST_SIDE:
        return
    msg = (
        "lenet takes square images of shape (h, w) or (c, h, w), channels first, "
        f"with h = w of at least {_LENET_LEAST_SIDE}; got {shape}"
    )
    if len(shape) > 1:
        raise ConfigError(msg)
    hint = SettingName("input_shape"), ", such as 1,28,28; or use mlp"
    raise ConfigError(msg, "; for images kept as vectors give ", *hint)


def _import_factory(spec: str) -> Factory:
    """Return the factory that `module:factory` names."""
    choices = f"{', '.join(BUILT_IN)} or module:factory"
    factory: Factory = import_attribute(spec, "model", choices)
    if not callable(factory):
        name = spec.partition(":")[2]
        words = f" {spec!r}: {name} is not callable, but {type(factory).__name__}"
        raise ConfigError(SettingName("model"), words)
    return factory


def _call_factory(spec: str, shape: Shape, num_classes: int) -> nn.Module:
    """Return what the user's factory makes."""
    factory = _import_factory(spec)
    try:
        model = factory(shape, num_classes)
    except Exception as err:  # the user's code may raise anything
        words = f" {spec!r}: called with ({shape}, {num_classes}) it failed: {said(err)}"
        raise ConfigError(SettingName("model"), words) from err
    _check_model(spec, model)
    return model


def _check_model(spec: str, model: object) -> None:
    """Refuse an object that is not a module, or has nothing to train."""
    if not isinstance(model, nn.Module):
        words = f" {spec!r} must be a torch.nn.Module; got {type(model).__name__}"
        raise ConfigError(SettingName("model"), words)
    if next(model.parameters(), None) is None:
        words = f" {spec!r} has no parameters to train"
        raise ConfigError(SettingName("model"), words)


def _check_outputs(spec: str, model: nn.Module, shape: Shape, num_classes: int) -> None:
    """Refuse a model whose outputs are not one logit a class, before a loss trips over them."""
    model.eval()
    try:
        with torch.no_grad():
            outputs = model(torch.zeros(1, *shape))
    except Exception as err:  # the user's code may raise anything
        words = f" {spec!r} does not take a sample of shape {shape}: {said(err)}"
        raise ConfigError(SettingName("model"), words) from err
    model.train()
    if outputs.shape != (1, num_classes):
        raise ConfigError(
            SettingName("model"),
            f" {spec!r} must give {num_classes} logits a sample; "
            f"one sample gave outputs of shape {tuple(outputs.shape)}",
        )


_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, and stride of the first block
_BLOCKS = 2  # a stage


def resnet18(input_shape: tuple[int, ...], num_classes: int) -> nn.Sequential:
    """Return a ResNet-18 with a 3 x 3 stem.

    Parameters
    ----------
    input_shape : tuple of int
        (c, h, w), of any size.
    num_classes : int

    Raises
    ------
    ConfigError
        When the shape is none of an image.
    """
    if len(input_shape) != 3:
        msg = f"resnet18 takes images of shape (h, w) or (c, h, w), not {input_shape}"
        if len(input_shape) > 1:
            raise ConfigError(msg)
        hint = SettingName("input_shape"), ", such as 3,32,32"
        raise ConfigError(msg, "; for images kept as vectors give ", *hint)
    layers: list[nn.Module] = [_convolution(input_shape[0], 64, 3, 1), nn.ReLU()]
    before = 64
    for channels, stride in _STAGES:
        for block in range(_BLOCKS):
            layers.append(_Block(before, channels, stride if block == 0 else 1))
            before = channels
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, num_classes)
    return nn.Sequential(*layers, *head)


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a 1 x 1 one where sizes change."""

    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(before, channels, 3, stride)
        self.second = _convolution(channels, channels, 3, 1)
        is_same = before == channels and stride == 1
        self.shortcut = nn.Identity() if is_same else _convolution(before, channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's outputs, of shape (n, channels, ceil(h / stride), ...)."""
        inner = self.second(functional.relu(self.first(x)))
        return functional.relu(cast(Tensor, inner + self.shortcut(x)))


def _convolution(before: int, channels: int, size: int, stride: int) -> nn.Sequential:
    """Return a convolution that keeps the size but for its stride, and its normalisation."""
    return nn.Sequential(
        nn.Conv2d(before, channels, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(channels),
    )


BUILT_IN: dict[str, Factory] = {
    "lenet": lenet,
    "resnet18": resnet18,
    "mlp": mlp,
    "logistic": logistic,
}
"""Models that need no code of the user's, by name."""
