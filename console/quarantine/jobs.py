"""Jobs over many messages: the list, one with its progress and its rows, pause, go on, cancel."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import Response

from console.shell.page import Page, allowed, with_query
from core import bulk
from core.bulk import Job

router = APIRouter()

PAGE: Final = 50
SAID: Final = {"pause": "поставлено на паузу", "continue": "продолжено", "cancel": "отменено"}
BADGES: Final = {
    "planned": "blue", "running": "blue", "paused": "yellow", "done": "green", "cancelled": "secondary",
    "stopped": "red", "waiting": "secondary", "under_way": "blue", "succeeded": "green", "failed": "red",
    "skipped": "secondary",
}  # fmt: skip
"""State of a job or of a row → colour of its word."""


@router.get("/quarantine/jobs")
def every(before: int | None = None, page: Page = allowed("messages.read")) -> Response:
    found = bulk.jobs(page.bus.database, before, PAGE)
    return page.show(
        "quarantine/jobs.html",
        jobs=found,
        newest="/quarantine/jobs" if before else "",
        older=with_query("/quarantine/jobs", before=found[-1].id) if len(found) == PAGE else "",
        **_words(),
    )


@router.get("/quarantine/jobs/{number}")
def one(number: int, state: str = "", after: int = 0, page: Page = allowed("messages.read")) -> Response:
    return page.show("quarantine/job.html", **_shown(page, number, state, after))


@router.get("/quarantine/jobs/{number}/part")
def one_again(number: int, state: str = "", after: int = 0, page: Page = allowed("messages.read")) -> Response:
    return page.show("quarantine/job_part.html", **_shown(page, number, state, after))


@router.post("/quarantine/jobs/{number}/{what}")
def change(number: int, what: str, page: Page = allowed("messages.resend")) -> Response:
    bulk.change(page.bus, number, what, actor=page.actor)
    page.say(f"Задание № {number} {SAID[what]}")
    return page.to(f"/quarantine/jobs/{number}")


def _shown(page: Page, number: int, state: str, after: int) -> dict[str, Any]:
    job = bulk.job(page.bus.database, number)
    rows = bulk.items(page.bus.database, number, after, PAGE, state)
    path = f"/quarantine/jobs/{number}"
    return {
        "job": job,
        "shares": _shares(job),
        "rows": rows,
        "state_": state,
        "part": with_query(f"{path}/part", state=state, after=after or ""),
        "first": with_query(path, state=state) if after else "",
        "next_": with_query(path, state=state, after=rows[-1].place) if len(rows) == PAGE else "",
        **_words(),
    }


def _words() -> dict[str, Any]:
    return {"actions": bulk.ACTIONS, "states": bulk.STATES, "item_states": bulk.ITEM_STATES, "badges": BADGES}


def _shares(job: Job) -> list[tuple[str, float, float]]:
    """(state, where its stretch of the bar begins, how long it is), of a bar that is 100 long."""
    shares: list[tuple[str, float, float]] = []
    begin = 0.0
    for name in ("succeeded", "failed", "skipped", "under_way"):
        long = 100.0 * getattr(job, name) / max(1, job.total)
        shares.append((name, round(begin, 2), round(long, 2)))
        begin += long
    return [one for one in shares if one[2]]
