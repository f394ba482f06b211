"""The package is whole, its layers point one way, and importing it is quick."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import echo_stream
from tests import ROOT

FOLDERS = ("echo_stream", "connectors", "cli")
LINKS = {"echo_stream/connectors", "echo_stream/cli"}


def sources(folder: str) -> list[Path]:
    """Return the modules of a folder, not following the links."""
    found = set((ROOT / folder).rglob("*.py"))
    return sorted(found - {path for link in LINKS for path in (ROOT / link).rglob("*.py")})


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_every_package_is_built() -> None:
    """A folder of modules that is no package would vanish from the wheel."""
    folders = {path.parent for folder in FOLDERS for path in sources(folder)}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


@pytest.mark.parametrize("path", sources("echo_stream"), ids=lambda path: path.name)
def test_the_engine_imports_no_connector(path: Path) -> None:
    """The engine neither opens a socket nor reads the clock: its layers point one way."""
    outside = {"echo_stream.connectors", "echo_stream.cli", "kafka", "time", "datetime", "socket"}
    allowed = {"echo_stream.cli.main"} if path.name == "__main__.py" else set()
    used = {name for name in imports(path) for other in outside if name.startswith(other)}
    assert used <= allowed


@pytest.mark.parametrize("path", sources("connectors"), ids=lambda path: path.name)
def test_connectors_import_no_command(path: Path) -> None:
    """The command line stands on the connectors, not the other way round."""
    assert not {name for name in imports(path) if name.startswith("echo_stream.cli")}


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Torch takes over a second; it comes with the first name that needs it."""
    code = "import sys, echo_stream; print(sorted({'torch', 'numpy', 'kafka'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_settings_need_no_torch() -> None:
    """Commands that only check settings start in a fraction of the time that torch takes."""
    code = "import sys, echo_stream.config; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_public_names_resolve() -> None:
    """Each name in __all__ is there; others are an AttributeError."""
    for name in echo_stream.__all__:
        assert getattr(echo_stream, name) is not None
    assert dir(echo_stream) == echo_stream.__all__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = echo_stream.nonsense
