"""The map as SVG: colours and lines by CSS classes (static/console/flow.css), every queue a link."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from markupsafe import Markup

from console.flow.layout import HEIGHT, WIDTH, Lane, Layout, Place, layout
from console.shell.charts import count
from core.flows import Edge, Flows, Node
from core.printing import number, short
from core.standing import MODES

TITLE_MOST: Final = 23
NAME_MOST: Final = 28
_WORST: Final = ("orphan", "stopped", "failing", "resting", "paused", "running")


def draw(flows: Flows) -> Markup:
    """The whole map."""
    placed = layout(flows)
    parts = [
        *(_lane(one) for one in placed.lanes),
        *(_edge(edge, flows, placed) for edge in sorted(flows.edges, key=lambda one: one.seen)),
        *(_node(node, placed.places[node.key]) for node in flows.nodes.values()),
    ]
    return Markup(
        '<svg class="flow" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="group" '
        'aria-label="Карта потоков; то же списком — ниже">'
        '<defs><marker id="flow-end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'markerUnits="userSpaceOnUse" orient="auto"><path class="flow-arrow" d="M0 0 L8 4 L0 8 z"/></marker></defs>'
        "{parts}</svg>"
    ).format(width=placed.width, height=placed.height, parts=Markup("").join(parts))


def mode_of(node: Node) -> str:
    """The worst of what its queues are doing; "running" for one without queues."""
    modes = {one.mode for one in node.standings}
    return next((mode for mode in _WORST if mode in modes), "running")


def address(node: Node) -> str:
    """Where a click leads; "" where there is nothing to see."""
    if node.side != "source":
        return f"/queues/{quote(node.key, safe='')}"
    if node.name:
        return f"/connectors/{quote(node.name, safe='')}"
    return "/schedules" if node.key == "bus:clock" else ""


def per_minute(edge: Edge, flows: Flows) -> float:
    """Messages a minute along the edge: what the target takes in, shared as the sample is."""
    target = flows.nodes[edge.target].standing
    return target.pace.accepted * edge.seen / edge.of if target and edge.of else 0.0


def told(node: Node) -> str:
    """The numbers of a node in one line."""
    one = node.standing
    if one is None:
        if not node.name:
            return "сообщения самой шины"
        if not node.standings:
            return "принимает по HTTP"
        away = sum(poll.mode == "failing" for poll in node.standings)
        return f"опросов {len(node.standings)}" + (f", не удаётся {away}" if away else "")
    parts = [f"ждёт {number(one.waiting)}", f"{count(one.pace.done)}/мин"]
    if one.row.quarantined:
        parts.append(f"карантин {number(one.row.quarantined)}")
    return " · ".join(parts)


def _lane(lane: Lane) -> Markup:
    return Markup(
        '<rect class="flow-lane" x="{:.0f}" y="{:.0f}" width="{:.0f}" height="{:.0f}" rx="8"/>'
        '<text class="flow-lane-title" x="{:.0f}" y="{:.0f}">{}</text>'
    ).format(lane.x, lane.y, lane.width, lane.height, lane.x + 10, lane.y + 15, lane.title)


def _edge(edge: Edge, flows: Flows, placed: Layout) -> Markup:
    one, other = placed.places[edge.origin], placed.places[edge.target]
    x1, y1, x2, y2 = one.x + WIDTH, one.middle, other.x, other.middle
    bend = max(30.0, abs(x2 - x1) / 2) if x2 > x1 else 90.0
    rate = per_minute(edge, flows)
    kinds = ["flow-edge"]
    kinds += ["flow-declared"] if not edge.seen else ["flow-live"] if rate else []
    return Markup(
        '<path class="{}" stroke-width="{:.1f}" marker-end="url(#flow-end)" '
        'd="M{:.0f} {:.0f} C{:.0f} {:.0f} {:.0f} {:.0f} {:.0f} {:.0f}"><title>{}</title></path>'
    ).format(
        " ".join(kinds), 1.4 + 1.2 * math.log10(1 + rate), x1, y1, x1 + bend, y1, x2 - bend, y2, x2 - 2, y2,
        _of_edge(edge, flows, rate),
    )  # fmt: skip


def _of_edge(edge: Edge, flows: Flows, rate: float) -> str:
    ends = f"{flows.nodes[edge.origin].title} → {flows.nodes[edge.target].title}"
    if not edge.seen:
        return f"{ends}: задано в настройках, сообщений ещё не было"
    what = "в том числе ответы, " if edge.answers else ""
    return f"{ends}: {what}{number(edge.seen)} из последних {number(edge.of)}, {count(rate)} в минуту"


def _node(node: Node, place: Place) -> Markup:
    mode = mode_of(node)
    second = MODES[mode] if mode != "running" else short(node.name, NAME_MOST) if node.side != "source" else ""
    body = Markup("").join(_body(node, place, mode, second))
    href = address(node)
    return Markup('<a href="{}">{}</a>').format(href, body) if href else body


def _body(node: Node, place: Place, mode: str, second: str) -> Iterator[Markup]:
    x, y = place.x, place.y
    yield Markup('<g class="flow-node flow-{}"><title>{}</title>').format(
        mode, f"{node.title} ({node.name or 'шина'}): {MODES[mode]}, {told(node)}"
    )
    yield Markup('<rect class="flow-box" x="{:.0f}" y="{:.0f}" width="{}" height="{}" rx="6"/>').format(
        x, y, WIDTH, HEIGHT
    )
    yield Markup('<rect class="flow-stripe" x="{:.0f}" y="{:.0f}" width="5" height="{}" rx="2"/>').format(x, y, HEIGHT)
    titles = textwrap.wrap(node.title, TITLE_MOST, max_lines=2, placeholder="…")
    lines = [*((one, "flow-title") for one in titles), (second, "flow-second"), (_figures(node), "flow-told")]
    down = 17.0 if len(titles) > 1 else 24.0
    for text, kind in lines:
        if text:
            yield Markup('<text class="{}" x="{:.0f}" y="{:.0f}">{}</text>').format(kind, x + 13, y + down, text)
            down += 15.5
    if node.standing and (aside := node.standing.row.quarantined):
        yield Markup('<text class="flow-aside" x="{:.0f}" y="{:.0f}" text-anchor="end">{}</text>').format(
            x + WIDTH - 7, y + down - 15.5, f"карантин {_brief(aside)}"
        )
    yield Markup("</g>")


def _figures(node: Node) -> str:
    one = node.standing
    return f"ждёт {_brief(one.waiting)} · {_brief(one.pace.done)}/мин" if one else told(node)


def _brief(value: float) -> str:
    return count(value) if value < 10_000 else f"{value / 1000:.0f} тыс."
