"""Everything that the program records has a Russian title."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from core import deeds
from core.access.permissions import permissions
from core.settings import HOUSE

ACTION = re.compile(r"[a-z_]+\.[a-z_]+")


def calls() -> Iterator[tuple[ast.Module, ast.AST, ast.Call]]:
    """(module, function around it, call) of everything that records: `audit.record`, and functions named for that."""
    for folder in ("core", "console", "connectors", "routes", "transformers"):
        for path in sorted((HOUSE / folder).rglob("*.py")):
            text = path.read_text("utf-8")
            if not re.search(r"audit\.record|_audit\(|looks\.record", text):
                continue
            module = ast.parse(text)
            for around in ast.walk(module):
                if not isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef):
                    continue
                for call in ast.walk(around):
                    if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in ("record", "_audit"):
                        yield module, around, call


def texts(node: ast.AST) -> set[str]:
    found = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return {one for one in found if ACTION.fullmatch(one) and one not in permissions()}


def actions() -> set[str]:
    """Those that stand in the call, or in the function or the module where the call names a variable."""
    found: set[str] = set()
    for module, around, call in calls():
        said = set().union(*(texts(one) for one in call.args if not isinstance(one, ast.JoinedStr)))
        if len(call.args) > 2 and isinstance(call.args[2], ast.JoinedStr):  # f"bulk.{state}"
            [begin, *_] = (one.value for one in call.args[2].values if isinstance(one, ast.Constant))
            said |= {one for one in deeds.ACTIONS if one.startswith(begin)} or {f"{begin}…"}
        if not said and ast.unparse(call.func) == "audit.record":
            names = {one.id for one in ast.walk(call.args[2]) if isinstance(one, ast.Name)}
            given = {one.arg for one in (*around.args.args, *around.args.kwonlyargs)}  # type: ignore[attr-defined]
            if not names & given:  # else its callers say it
                said = texts(around) or texts(module)
        found |= said
    return found


def kinds() -> set[str]:
    given = (call.args[3] for _, _, call in calls() if ast.unparse(call.func) == "audit.record")
    return {one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)}


@pytest.mark.feature("SMEV-11")
def test_every_action_has_a_title() -> None:
    recorded = actions()
    assert {"queue.paused", "bulk.cancelled", "registry.viewed", "correction.approved"} <= recorded
    assert sorted(recorded - set(deeds.ACTIONS)) == []


def test_what_is_a_look_and_a_sign_in_is_known() -> None:
    assert {*deeds.LOOKS, *deeds.SIGN_INS} <= set(deeds.ACTIONS)


def test_every_kind_of_object_has_a_title() -> None:
    assert kinds() - set(deeds.OBJECTS) == set()


def test_what_nobody_has_named_is_shown_as_it_is() -> None:
    assert deeds.title("new.thing") == "new.thing"
    assert deeds.object_title("thing") == "thing"
    assert deeds.told({"added": ["a"], "x": True, "y": None}) == "добавлено: a, x: да, y: ничего"


def test_rights_and_moments_are_told_in_words() -> None:
    assert deeds.told(["queues.read", "operator", "gone"], "added") == "Очереди: смотреть, «Оператор», gone"
    assert deeds.told("operator") == "operator"
    assert deeds.told("2027-11-25T00:00:00+03:00") == "25.11.2027 00:00 UTC+0300"
    assert deeds.told("2027-99-25T00:00:00") == "2027-99-25T00:00:00"
