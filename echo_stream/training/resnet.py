"""ResNet-18 for small images.

Source: He, Zhang, Ren & Sun (2016), "Deep Residual Learning for Image Recognition", CVPR;
the stem is that of their nets for CIFAR-10 (section 4.2): one 3 x 3 convolution of stride 1,
no pooling.
"""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from echo_stream.errors import ConfigError

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, and stride of the first block
BLOCKS = 2  # a stage


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
        if len(input_shape) == 1:
            msg += "; for images kept as vectors give --input-shape, such as 3,32,32"
        raise ConfigError(msg)
    layers: list[nn.Module] = [_convolution(input_shape[0], 64, 3, 1), nn.ReLU()]
    before = 64
    for channels, stride in STAGES:
        for block in range(BLOCKS):
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
