"""Every page that a person can reach by links: it opens, the browser complains of nothing, axe finds nothing serious,
it fits a narrow screen, and its picture is kept in build/screenshots with the time that the server needed.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PAGES_MOST = 140
ALIKE_MOST = 2
"""So many pages of one kind are looked at: the cards of two messages, not of two hundred."""
NARROW = {"width": 420, "height": 900}
WIDE = {"width": 1366, "height": 768}
_FILE = re.compile(r"/(download|export|file)\b|\.(csv|xlsx|zip|json)\b|^/(static|api)/|^/logout")
_GRAVE = ("serious", "critical")


def alike(path: str) -> tuple[Any, ...]:
    """Pages with the same key look the same."""
    steps = [step for step in path.split("/") if step]
    if steps[:1] == ["registry"]:
        return tuple(steps[:4])
    return (*steps[:1], len(steps), steps[-1] if len(steps) > 2 else "")


def links(desk: Any) -> list[str]:
    hrefs = "all => all.map(one => new URL(one.getAttribute('href'), location).href)"
    found = desk.page.eval_on_selector_all("a[href]", hrefs)
    ours = [urlsplit(one) for one in found if one.startswith(desk.show.url)]
    return list(dict.fromkeys(one.path + (f"?{one.query}" if one.query else "") for one in ours))


@pytest.mark.feature("TECH-01", "BUS-14", "SMEV-11")
@pytest.mark.parametrize(
    ("login", "dark"), [("operator", False), ("admin", True), ("auditor", False)], ids=["operator", "admin", "auditor"]
)
def test_every_page_is_fit_to_be_seen(sit_down, login: str, dark: bool, request) -> None:
    desk = sit_down(login, dark=dark)
    folder = f"{login}-{'dark' if dark else 'light'}"
    waiting, seen, kinds = deque(["/", "/me", "/no/such/page"]), set(), Counter()
    troubles: list[str] = []
    told: dict[str, Any] = {}
    while waiting and len(told) < PAGES_MOST:
        path = waiting.popleft()
        bare = urlsplit(path).path
        if bare in seen or _FILE.search(path) or kinds[alike(bare)] >= ALIKE_MOST:
            continue
        seen.add(bare)
        kinds[alike(bare)] += 1
        answer = desk.page.goto(desk.show.url + path)
        expected = 404 if path == "/no/such/page" else 200
        if answer.status != expected:
            troubles.append(f"{path}: {answer.status} вместо {expected}")
            continue
        timing = re.search(r"dur=([\d.]+)", answer.headers.get("server-timing", ""))
        name = f"{folder}/{len(told):03d}-{re.sub(r'[^a-z0-9]+', '-', bare.lower()).strip('-') or 'desk'}"
        told[path] = {"shot": name, "server_ms": float(timing[1]) if timing else None}
        desk.page.wait_for_load_state("networkidle")
        desk.shoot(name)
        for one in Axe().run(desk.page).response["violations"]:
            if one["impact"] in _GRAVE:
                places = [node["target"] for node in one["nodes"][:3]]
                troubles.append(f"{path}: axe {one['impact']} {one['id']}: {one['help']} {places}")
        desk.page.set_viewport_size(NARROW)
        over = desk.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if over > 4:
            troubles.append(f"{path}: на узком экране шире на {over} точек")
        desk.page.set_viewport_size(WIDE)
        if english := english_in(desk.page.inner_text("body")):
            troubles.append(f"{path}: по-английски: {english}")
        waiting.extend(links(desk))
    kept = request.path.parents[3] / "build" / "screenshots" / f"{folder}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")
    assert len(told) > 15
    assert not troubles + desk.troubles, "\n".join(troubles + desk.troubles)


_ENGLISH = re.compile(
    r"\b(Search|Save|Cancel|Delete|Edit|Create|Submit|Loading|Next|Previous|Show|Filter|Export|Import|Actions|"
    r"Showing|entries|Logout|Login|Select|Are you sure|No data|Error|Not Found|Add|Remove|Back|View|Clear|Apply)\b"
)


def english_in(text: str) -> list[str]:
    """Words of an interface that is not translated. Names of operations and of technical fields are no such words."""
    return sorted(set(_ENGLISH.findall(text)))[:5]
