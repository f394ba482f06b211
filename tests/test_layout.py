"""The package is whole, its layers point one way, and importing it is quick."""

import ast
import graphlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import echo_stream
from tests import ROOT

# Packages in order: each may import from those before it, and from itself.
LAYERS = (
    "echo_stream.errors", "echo_stream._common", "echo_stream.config", "echo_stream.samples",
    "echo_stream.encoders",
    "echo_stream.generation", "echo_stream.sketch", "echo_stream.coreset", "echo_stream.engine",
    "echo_stream.training", "echo_stream.run",
    "echo_stream.connectors.process", "echo_stream.connectors.storage",
    "echo_stream.connectors.files", "echo_stream.connectors.codecs", "echo_stream.connectors.kafka",
    "echo_stream.connectors.dead_letters", "echo_stream.connectors.training",
    "echo_stream.connectors.runner", "echo_stream.connectors.group",
    "echo_stream.connectors.inspect", "echo_stream.connectors.app", "echo_stream.connectors.http",
    "echo_stream.cli",
)  # fmt: skip
ENGINE = LAYERS[: LAYERS.index("echo_stream.run") + 1]
CLIENT_PATCHES = "echo_stream.connectors.kafka._client_patches"
PUBLIC = ("._replace", "._asdict", "._fields", "._exit")  # of named tuples, and of os
MOST_MODULES = 15
MOST_ENTRIES = 12


def modules() -> dict[str, Path]:
    """Return the modules of the package by name, those behind its links once."""
    found = {}
    for folder in ("echo_stream", "connectors", "cli"):
        for path in (ROOT / folder).rglob("*.py"):
            if folder != "echo_stream" or path.resolve() == path:
                parts = path.relative_to(ROOT).with_suffix("").parts
                name = ".".join(parts if folder == "echo_stream" else ("echo_stream", *parts))
                found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(module: str) -> set[str]:
    """Return the modules that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (below & MODULES.keys()) or {node.module or ""}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def layer(module: str) -> str | None:
    """Return the layer that a module belongs to."""
    return next((name for name in LAYERS if f"{module}.".startswith(f"{name}.")), None)


def test_every_module_belongs_to_a_layer() -> None:
    """All but the packages themselves, and `python -m echo_stream`."""
    tops = {"echo_stream", "echo_stream.__main__", "echo_stream.connectors"}
    assert {name for name in MODULES if layer(name) is None} == tops


def test_every_package_is_built() -> None:
    """A folder of modules that is no package would vanish from the wheel."""
    folders = {path.parent for path in MODULES.values()}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_no_import_goes_upwards() -> None:
    """A package imports from those before it in the order of layers alone."""
    upwards = {
        (module, other)
        for module in MODULES
        for other in imports(module)
        if (own := layer(module))
        and (its := layer(other))
        and LAYERS.index(its) > LAYERS.index(own)
    }
    assert not upwards


def test_no_imports_go_in_a_circle() -> None:
    """Not even one that only type checkers follow, or that is put off into a function."""
    graph = {module: imports(module) & MODULES.keys() for module in MODULES}
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("module", [name for name in MODULES if layer(name) in ENGINE])
def test_the_engine_touches_nothing_outside(module: str) -> None:
    """It opens no socket, starts no process, and reads neither the clock nor the environment."""
    outside = {"kafka", "time", "datetime", "socket", "subprocess"}
    assert not {name for name in imports(module) if name.split(".")[0] in outside}
    nodes = ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    accessed = {ast.unparse(each) for each in nodes if isinstance(each, ast.Attribute)}
    assert not accessed & {"os.environ", "os.getenv", "os.system"}


def test_tests_import_no_tests() -> None:
    """What several tests need is in tests/support: a test can be moved, or go, alone."""
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    found = {path: re.sub(r"\s+", " ", path.read_text(encoding="utf-8")) for path in files}
    pattern = re.compile(
        r"(?:from|import) tests\.(?:\w+\.)*(?:test_\w+|conftest)\b"
        r"|from tests[\w.]* import (?:\( ?)?(?:\w+, )*(?:test_\w+|conftest)\b"
    )
    assert not [(path.name, names) for path in files if (names := pattern.findall(found[path]))]


@pytest.mark.parametrize(
    "module",
    [
        name
        for name in MODULES
        if (layer(name) or "").startswith(("echo_stream.connectors", "echo_stream.cli"))
        and not name.startswith(f"{CLIENT_PATCHES}.")
    ],
)
def test_private_names_of_the_kafka_client_stay_in_one_package(module: str) -> None:
    """Elsewhere objects have none but their own, and no internal module is imported."""
    internal = {"consumer.fetcher", "coordinator.base", "coordinator.consumer", "net", "record"}
    assert not [name for name in imports(module) if is_below(name, "kafka", internal)]
    nodes = ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    accessed = {ast.unparse(each) for each in nodes if isinstance(each, ast.Attribute)}
    foreign = {name for name in accessed if re.search(r"(?<!^self)(?<!^cls)\._[a-z]\w*$", name)}
    assert {name for name in foreign if not name.endswith(PUBLIC)} == set()


def is_below(module: str, package: str, names: set[str]) -> bool:
    """Return whether a module is one of those named in a package, or in one of these."""
    return any(f"{module}.".startswith(f"{package}.{name}.") for name in names)


def test_packages_are_small_enough_to_be_read() -> None:
    """A newcomer looks at a dozen entries at the top, and at fifteen modules in a package."""
    paths = [*MODULES.values(), *(ROOT / "tests/support").rglob("*.py")]
    parents = (path.parent for path in paths if path.name != "__init__.py")
    num_modules = Counter(str(folder.relative_to(ROOT)) for folder in parents)
    assert {folder: n for folder, n in num_modules.items() if n > MOST_MODULES} == {}
    for top in ("echo_stream", "connectors"):
        entries = {path for path in (ROOT / top).iterdir() if not path.is_symlink()}
        assert len([path for path in entries if not path.name.startswith("__")]) <= MOST_ENTRIES


@pytest.fixture(scope="module")
def mentions() -> dict[Path, tuple[set[str], set[str]]]:
    """Return the words of each text of the repository, and the dotted names of our modules."""
    folders = ("echo_stream", "connectors", "cli", "tests", "benchmarks", "docs")
    paths = {path.resolve() for top in folders for path in (ROOT / top).rglob("*.*")}
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in (*paths, *ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml")
        if path.suffix in {".py", ".md", ".toml", ".jinja", ""} and path.is_file()
    }
    return {
        path: (set(re.findall(r"\w+", text)), set(re.findall(r"echo_stream(?:\.\w+)*", text)))
        for path, text in texts.items()
    }


def test_what_no_other_module_uses_has_an_underscore(
    mentions: dict[Path, tuple[set[str], set[str]]],
) -> None:
    """Nor is it a type in the signature of something that others use, or a command."""
    bare = {}
    for module, path in MODULES.items():
        parent, _, leaf = module.rpartition(".")
        elsewhere: set[str] = {"logger", "main"}
        for other, (words, dotted) in mentions.items():
            is_used = any(f"{name}.".startswith(f"{module}.") for name in dotted)
            if other != path and (is_used or (parent in dotted and leaf in words)):
                elsewhere |= words
        bare[module] = private_names(path, elsewhere)
    assert {module: names for module, names in bare.items() if names} == {}


def private_names(path: Path, used: set[str]) -> set[str]:
    """Return the names at the top of a module, without underscore, that only it uses."""
    tops: dict[str, ast.stmt] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            tops[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            tops |= {each.id: node for each in targets if isinstance(each, ast.Name)}
    names = {name for name in tops if not name.startswith("_")}
    public = names & used | {name for name in names if is_command(tops[name])}
    waiting = list(public)
    while waiting:
        types = words_of_types(tops[waiting.pop()])
        more = {name for name in types & names - public if not name.isupper()}
        public |= more
        waiting += more
    return names - public


def is_command(node: ast.stmt) -> bool:
    """Return whether click calls a function by its name on the command line."""
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return any(re.search(r"\b(command|group)\(", ast.unparse(each)) for each in decorators)


def words_of_types(node: ast.stmt) -> set[str]:
    """Return the words of the annotations and base classes in a definition, or of an alias."""
    parts: list[ast.expr | None] = []
    if isinstance(node, ast.Assign | ast.AnnAssign):
        parts.append(node.value)
    for each in ast.walk(node):
        parts += [getattr(each, "annotation", None), getattr(each, "returns", None)]
        parts += each.bases if isinstance(each, ast.ClassDef) else []
    return {word for part in parts if part for word in re.findall(r"\w+", ast.unparse(part))}


def test_importing_the_package_imports_nothing_heavy() -> None:
    """Torch takes over a second; it comes with the first name that needs it."""
    code = "import sys, echo_stream; print(sorted({'torch', 'numpy', 'kafka'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_settings_need_no_torch() -> None:
    """Commands that only check settings start in a fraction of the time that torch takes."""
    code = "import sys, echo_stream.cli.main; print({'torch', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_public_names_resolve() -> None:
    """Each name in __all__ is there; others are an AttributeError."""
    for name in echo_stream.__all__:
        assert getattr(echo_stream, name) is not None
    assert dir(echo_stream) == echo_stream.__all__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = echo_stream.nonsense
