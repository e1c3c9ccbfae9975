"""Which rule of a scripted provider fits a request: by surname, by every n-th; the first that fits wins."""

from __future__ import annotations

from core import xml as xml_door
from simulators.smev3.settings import Rule, Script, Settings
from simulators.smev3.store import Connection, Row

ANSWER = Rule()


def provider_script(settings: Settings, kind: str) -> Script | None:
    return next((one for one in settings.scripts if one.role == "provider" and one.kind == kind), None)


def chosen_rule(conn: Connection, settings: Settings, row: Row) -> Rule | None:
    """The rule for a stored request, a plain answer when none fits; None when nobody is scripted for its kind."""
    script = provider_script(settings, row["kind"])
    if script is None:
        return None
    surname = surname_in(bytes(row["data"])).casefold() if any(rule.surname for rule in script.rules) else ""
    number = ordinal(conn, row) if any(rule.every for rule in script.rules) else 0
    for rule in script.rules:
        if rule.surname and rule.surname.casefold() != surname:
            continue
        if rule.every and number % rule.every != 0:
            continue
        return rule
    return ANSWER


def surname_in(data: bytes) -> str:
    """FamilyName (or Фамилия) of the business document, '' when it has none."""
    root = xml_door.parse(data)
    for name in ("FamilyName", "Фамилия"):
        found = root.find(f".//{{*}}{name}")
        if found is not None:
            return (found.text or "").strip()
    return ""


def ordinal(conn: Connection, row: Row) -> int:
    """The number of this request among the requests of its kind, from 1."""
    found = conn.execute(
        "select count(*) as n from sim_smev.message where what = 'request' and kind = %s and seq <= %s",
        (row["kind"], row["seq"]),
    ).fetchone()
    return int(found["n"]) if found else 0
