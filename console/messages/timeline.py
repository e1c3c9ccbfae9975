"""The way of a message as one picture: a line of steps with the time between them, and a bar for each stage's work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from markupsafe import Markup

from console.shell.words import milliseconds
from core.cards import Card
from core.message_card import STAGES

STEPS_MOST: Final = 9
LOOKS: Final = ("viewed",)
_WIDTH: Final = 900
_HEIGHT: Final = 72
_LINE_Y: Final = 24
_MARGIN: Final = 16
_TONES: Final = {
    "quarantined": "bad", "stopped": "bad", "refused": "bad", "not acknowledged": "bad", "retry": "warn",
    "unavailable": "warn", "repeated": "warn", "handled": "good", "sent": "good", "dropped": "mute",
    "resent": "person", "put": "person", "corrected": "person", "moved": "person",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """gap_ms: since the step before. many: how often it came one after another."""

    title: str
    tone: str
    at: datetime | None
    gap_ms: float | None
    many: int = 1


def picture(card: Card) -> Markup:
    """SVG of the way from acceptance on; looks of people are no steps. Long ways are told by their ends."""
    steps = shortened(steps_of(card))
    apart = (_WIDTH - 2 * _MARGIN) / max(len(steps) - 1, 1)
    xs = [_MARGIN + place * apart for place in range(len(steps))] if len(steps) > 1 else [_WIDTH / 2]
    made = [_between(xs[place - 1], xs[place], step) for place, step in enumerate(steps) if place]
    anchors = ["start", *["middle"] * (len(steps) - 2), "end"] if len(steps) > 1 else ["middle"]
    made += [
        _dot(x, step, place, anchor) for place, (x, step, anchor) in enumerate(zip(xs, steps, anchors, strict=True))
    ]
    said = "; ".join(f"{step.title}{f' через {milliseconds(step.gap_ms)}' if step.gap_ms else ''}" for step in steps)
    return Markup(
        '<svg class="way" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="xMidYMid meet">{}</svg>'
    ).format(_WIDTH, _HEIGHT, f"Ход обработки: {said}", Markup("").join(made))


def steps_of(card: Card) -> list[Step]:
    """Acceptance and every event but looks; equal neighbours are one step."""
    steps = [Step("принято", "start", card.row.accepted_at, None)]
    before = card.row.accepted_at
    for event in card.events:
        if event.stage in LOOKS or (event.stage == "acknowledged" and steps[-1].title == STAGES["repeated"]):
            continue
        gap_ms = max(0.0, (event.at - before).total_seconds() * 1000)
        before = event.at
        title = STAGES.get(event.stage, event.stage)
        last = steps[-1]
        if last.title == title:
            steps[-1] = Step(title, last.tone, event.at, (last.gap_ms or 0.0) + gap_ms, last.many + 1)
        else:
            steps.append(Step(title, _TONES.get(event.stage, "plain"), event.at, gap_ms))
    return steps


def shortened(steps: Sequence[Step]) -> list[Step]:
    """At most STEPS_MOST: the first ones, a step that says how many are left out, the last ones."""
    if len(steps) <= STEPS_MOST:
        return list(steps)
    head, tail = list(steps[: STEPS_MOST // 2]), list(steps[-(STEPS_MOST // 2) :])
    left_out = steps[len(head) : len(steps) - len(tail)]
    gap_ms = sum(one.gap_ms or 0.0 for one in left_out)
    return [*head, Step(f"ещё {len(left_out)}", "mute", None, gap_ms), *tail]


def bar(duration_ms: float | None, longest_ms: float) -> Markup:
    """How long a stage worked, on a logarithmic scale: a millisecond and a minute are both seen."""
    if duration_ms is None or duration_ms <= 0:
        return Markup("")
    share = math.log1p(duration_ms) / math.log1p(max(longest_ms, duration_ms, 1.0))
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="bar-all" width="100" height="8" rx="2"/><rect class="bar-part" width="{:.0f}" height="8" rx="2"/>'
        "</svg>"
    ).format(max(2.0, 100 * share))


def _between(start: float, end: float, step: Step) -> Markup:
    slow = " way-slow" if (step.gap_ms or 0) > 60_000 else ""
    return Markup(
        '<line class="way-line{}" x1="{:.0f}" y1="{}" x2="{:.0f}" y2="{}"/>'
        '<text class="way-gap" x="{:.0f}" y="{}" text-anchor="middle">{}</text>'
    ).format(slow, start, _LINE_Y, end, _LINE_Y, (start + end) / 2, _LINE_Y - 8, f"+{milliseconds(step.gap_ms)}")


def _dot(x: float, step: Step, place: int, anchor: str) -> Markup:
    many = f" ×{step.many}" if step.many > 1 else ""
    y = _LINE_Y + 26 + (14 if place % 2 else 0)
    return Markup(
        '<circle class="way-dot way-{}" cx="{:.0f}" cy="{}" r="8"/>'
        '<text class="way-title" x="{:.0f}" y="{}" text-anchor="{}">{}{}</text>'
    ).format(step.tone, x, _LINE_Y, x + {"start": -8, "end": 8}.get(anchor, 0), y, anchor, step.title, many)
