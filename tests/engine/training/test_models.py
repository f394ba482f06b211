"""Models by name: the shapes that they take, and what is said about the others."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from echo_stream.errors import ConfigError, DataError, ShapeError
from echo_stream.samples.tensors import Shape, check_input, to_input
from echo_stream.training.models import build_model

FACTORIES = """
from torch import nn

def linear(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, num_classes))

def too_few(input_shape, num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes - 1))

def frozen(input_shape, num_classes):
    return nn.Identity()

def no_module(input_shape, num_classes):
    return None

constant = 3
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module of factories that can be imported."""
    (tmp_path / "echo_test_factories.py").write_text(FACTORIES)
    (tmp_path / "echo_test_broken.py").write_text("import echo_test_missing_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    return "echo_test_factories"


def parameter_count(model: nn.Module) -> int:
    """Return the number of trainable values."""
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 30, 30), (3, 64, 64)])
def test_lenet_takes_square_images(shape: Shape) -> None:
    """One logit a class, for any number of channels and any side from 28."""
    assert build_model("lenet", shape, 7)(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(("shape", "expected"), [((28, 28), 61_706), ((3, 32, 32), 62_006)])
def test_lenet_has_the_published_size(shape: Shape, expected: int) -> None:
    """LeNet-5 has 61,706 parameters for one channel, and 2 x 150 more for three."""
    assert parameter_count(build_model("lenet", shape, 10)) == expected


@pytest.mark.parametrize("shape", [(27, 27), (28, 30), (28, 28, 3), (1, 1, 28, 28)])
def test_lenet_refuses_other_shapes(shape: Shape) -> None:
    """The error says what is needed."""
    with pytest.raises(ConfigError, match=r"square images .* channels first, .* at least 28; got"):
        build_model("lenet", shape, 10)


def test_lenet_suggests_a_shape_for_vectors() -> None:
    """Images are often kept flat."""
    with pytest.raises(ConfigError, match=r"got \(784,\); .* input_shape"):
        build_model("lenet", (784,), 10)


@pytest.mark.parametrize(("shape", "expected"), [((3, 32, 32), 11_173_962), ((28, 28), 11_172_810)])
def test_resnet18_has_the_customary_size(shape: Shape, expected: int) -> None:
    """With a 3 x 3 stem, 10 classes, and 2 x 576 fewer for one channel."""
    assert parameter_count(build_model("resnet18", shape, 10)) == expected


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 9, 7)])
def test_resnet18_takes_images_of_any_size(shape: Shape) -> None:
    """One logit a class; gradients reach the stem."""
    model = build_model("resnet18", shape, 4)
    outputs = model(torch.rand(2, *shape))
    assert outputs.shape == (2, 4)
    outputs.sum().backward()
    assert next(model.parameters()).grad is not None


def test_resnet18_refuses_vectors() -> None:
    """Images kept flat need a shape."""
    with pytest.raises(ConfigError, match=r"not \(3072,\); .* input_shape"):
        build_model("resnet18", (3_072,), 10)


@pytest.mark.parametrize("shape", [(5,), (3, 4, 4)])
def test_logistic_is_one_layer(shape: Shape) -> None:
    """Weights and biases, and nothing else."""
    model = build_model("logistic", shape, 3)
    assert parameter_count(model) == 3 * (math.prod(shape) + 1)
    assert model(torch.zeros(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize("shape", [(5,), (8, 8), (3, 4, 4)])
def test_mlp_takes_any_shape(shape: Shape) -> None:
    """Axes are flattened."""
    assert build_model("mlp", shape, 3)(torch.zeros(2, *shape)).shape == (2, 3)


@pytest.mark.parametrize(("shape", "num_classes"), [((0,), 3), ((4,), 0)])
def test_a_model_of_nothing_is_refused(shape: Shape, num_classes: int) -> None:
    """No input or no class leaves nothing to learn."""
    with pytest.raises(ConfigError, match="needs input and classes"):
        build_model("mlp", shape, num_classes)


def test_a_factory_is_imported_and_called(plugin: str) -> None:
    """The model is ready to be trained; trying it on one sample left no trace."""
    model = build_model(f"{plugin}:linear", (3, 4), 5)
    assert model.training
    assert model.get_buffer("1.num_batches_tracked") == 0
    assert model(torch.zeros(2, 1, 3, 4)).shape == (2, 5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet", "lenet, resnet18, mlp, logistic or module:factory; got 'resnet'"),
        (":factory", "module:factory"),
        ("..relative:factory", "module:factory"),
        ("echo_test_absent:make", "importing echo_test_absent failed: ModuleNotFoundError"),
        ("echo_test_broken:make", "No module named 'echo_test_missing_dependency'"),
        ("echo_test_factories:absent", "echo_test_factories has no absent"),
        ("echo_test_factories:constant", "constant is not callable, but int"),
        ("echo_test_factories:no_module", "must be a torch.nn.Module; got NoneType"),
        ("echo_test_factories:frozen", "no parameters"),
        ("echo_test_factories:too_few", r"5 logits a sample; .* shape \(1, 4\)"),
    ],
)
@pytest.mark.usefixtures("plugin")
def test_what_makes_no_model_is_refused(spec: str, message: str) -> None:
    """The error names what was tried."""
    with pytest.raises(ConfigError, match=message):
        build_model(spec, (12,), 5)


def test_to_input_divides_bytes_by_255() -> None:
    """Pixels become numbers from 0 to 1, exact at both ends."""
    x = np.array([[0, 255]], dtype=np.uint8)
    assert to_input(x, (2,)).tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.float16, np.bool_])
def test_to_input_takes_other_numbers_as_they_are(dtype: type) -> None:
    """Only the dtype changes."""
    converted = to_input(np.array([[0, 1]], dtype=dtype), (2,))
    assert converted.dtype == torch.float32
    assert converted.tolist() == [[0.0, 1.0]]


def test_to_input_copies() -> None:
    """What happens to the tensor does not reach the samples, which may be read-only."""
    x = np.zeros((1, 2), dtype=np.float32)
    x.flags.writeable = False
    to_input(x, (2,)).fill_(1.0)
    assert (x == 0).all()


@pytest.mark.parametrize(
    ("sample_shape", "shape"),
    [((784,), (1, 28, 28)), ((28, 28), (1, 28, 28)), ((28, 28, 1), (1, 28, 28)), ((2, 3), (6,))],
)
def test_check_input_allows_what_keeps_the_axes(sample_shape: Shape, shape: Shape) -> None:
    """Channels of length 1 and flat samples lose nothing."""
    check_input(np.zeros((2, *sample_shape)), shape)


@pytest.mark.parametrize(
    ("sample_shape", "shape"), [((28, 28, 3), (3, 28, 28)), ((2, 3), (3, 2)), ((5,), (6,))]
)
def test_check_input_refuses_what_would_scramble(sample_shape: Shape, shape: Shape) -> None:
    """As many values in another order are another image."""
    with pytest.raises(ShapeError, match="do not fit"):
        check_input(np.zeros((2, *sample_shape)), shape)


def test_check_input_refuses_what_is_no_number() -> None:
    """Text has to be embedded first."""
    with pytest.raises(DataError, match="dtype <U3"):
        check_input(np.array([["abc"]]), (1,))
