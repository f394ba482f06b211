"""Plans out of TOML files, checked as far as they can be without their data."""

import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.evaluation.orders import ORDERS
from benchmarks.evaluation.plan import Choice, Floor, Group, Picture, Plan, Ranking
from benchmarks.evaluation.plan_values import build, listed
from benchmarks.evaluation.recipes import Recipe
from benchmarks.evaluation.results import METRICS
from benchmarks.evaluation.trial import share_of
from echo_stream.errors import ConfigError


def read_plan(path: Path) -> Plan:
    """Return the plan in a TOML file.

    Settings at the top, `title`, `about` and `note` apart, hold for every group that does not give
    its own; `seeds` is a number of seeds, from 0, or a list of them.

    Raises
    ------
    ConfigError
        If the file cannot be read, or says what no plan says.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        msg = f"cannot read plan {path}: {err.strerror}; ours are in benchmarks/plans"
        raise ConfigError(msg) from err
    except ValueError as err:  # of TOML, or of what is no text at all
        msg = f"{path} is no TOML: {err}"
        raise ConfigError(msg) from err
    try:
        return _plan(content)
    except ConfigError as err:
        msg = f"plan {path}: {err}"
        raise ConfigError(msg) from err


def _plan(content: dict[str, Any]) -> Plan:
    """Return the plan that a file's content describes."""
    kinds = ("group", "floor", "rank", "picture")
    groups, floors, rankings, pictures = (_tables(content.pop(kind, []), kind) for kind in kinds)
    title, about, note = (content.pop(name, "") for name in ("title", "about", "note"))
    if not groups:
        msg = "there is no [[group]]; give at least one"
        raise ConfigError(msg)
    train = content.pop("train", {})
    plan = Plan(
        title,
        tuple(_group(content | entry, train) for entry in groups),
        tuple(build(Floor, _tuples(entry), "a floor") for entry in floors),
        about,
        note,
        tuple(build(Ranking, _tuples(entry), "a ranking") for entry in rankings),
        tuple(build(Picture, _tuples(entry), "a picture") for entry in pictures),
    )
    _refuse_duplicates([group.name for group in plan.groups], "groups", "the plan")
    parts: tuple[Floor | Ranking | Picture, ...] = (*plan.floors, *plan.rankings, *plan.pictures)
    for part in parts:
        part.check(plan)
    for floor in plan.floors:
        _check_metric(floor.metric, "a floor")
    for picture in plan.pictures:
        _check_metric(picture.metric or "accuracy", "a picture")
    return plan


def _group(values: dict[str, Any], train: dict[str, Any]) -> Group:
    """Return a group, checked as far as it can be without its data."""
    what = f"group {values.get('name', 'without a name')}"
    seeds, own = values.get("seeds", 1), values.get("train", {})
    for settings in (train, own):
        if not isinstance(settings, dict):
            msg = f"{what}: train must be a table; got {settings!r}"
            raise ConfigError(msg)
    if "epochs" in own:  # a number of steps, which would go before it, is that of other groups
        train = {name: value for name, value in train.items() if name != "steps"}
    is_number = isinstance(seeds, int) and not isinstance(seeds, bool)
    group = build(
        Group,
        _tuples({"recipes": ["ce"]} | values)
        | {
            "seeds": tuple(range(seeds) if is_number else listed(values, "seeds", what)),
            "selectors": tuple(
                chain.from_iterable(map(Choice.several, listed(values, "selectors", what)))
            ),
            "train": train | own,
            "orders": tuple(listed(values, "orders", what) or [None]),
        },
        what,
    )
    _check_group(group)
    return group


def _check_group(group: Group) -> None:
    """Raise a ConfigError if what a group lists is nothing, twice there, or not known."""
    for name in ("data", "budgets", "selectors", "recipes", "seeds", "metrics"):
        if not getattr(group, name):
            msg = f"group {group.name}: {name} are none; give at least one"
            raise ConfigError(msg)
    labels = [choice.label for choice in group.selectors]
    _refuse_duplicates(labels, "selectors", f"group {group.name}")
    for recipe in group.recipes:
        Recipe.parse(recipe)
    for budget in group.budgets:
        share_of(budget)
    for order in set(group.orders) - {None, *ORDERS}:
        msg = f"group {group.name}: an order is one of {', '.join(ORDERS)}; got {order!r}"
        raise ConfigError(msg)
    for metric in group.metrics:
        _check_metric(metric, f"group {group.name}")
    others = [choice.labels_of for choice in group.selectors if choice.labels_of]
    everything = [group.everything] if group.everything else []
    for label in (group.baseline, *group.ours, *others, *everything):
        group.choice(label)
    _check_why(group)


def _check_metric(metric: str, what: str) -> None:
    """Raise a ConfigError if there is no such metric."""
    if metric not in METRICS:
        msg = f"{what}: a metric is one of {', '.join(METRICS)}; got {metric!r}"
        raise ConfigError(msg)


def _refuse_duplicates(names: list[str], kind: str, where: str) -> None:
    """Raise a ConfigError if a name is there twice."""
    for name in names:
        if names.count(name) > 1:
            msg = f"{where} has {names.count(name)} {kind} named {name!r}; give each its own name"
            raise ConfigError(msg)


def _tables(found: object, kind: str) -> list[dict[str, Any]]:
    """Return tables of a kind; one alone is a slip of the pen."""
    if isinstance(found, list) and all(isinstance(entry, dict) for entry in found):
        return found
    msg = f"write [[{kind}]], with two brackets, for each {kind}; got {found!r}"
    raise ConfigError(msg)


def _check_why(group: Group) -> None:
    """Raise a ConfigError if a group says why, but not of what, or nothing."""
    if group.why and not (group.why.strip() and group.ours):
        msg = (
            f"group {group.name}: why is text on where `ours` wins and loses; "
            f"got {group.why!r} with ours = {list(group.ours)}"
        )
        raise ConfigError(msg)


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """Return values with tuples where there were lists."""
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
