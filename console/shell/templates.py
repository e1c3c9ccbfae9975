"""The templates: `<area>/<name>.html` beside the code of the area."""

from __future__ import annotations

import functools
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context

from console.shell import words
from console.shell.page import query_of, with_query
from core.settings import HOUSE


@functools.cache
def environment() -> Environment:
    """One a process. Escaping everything; an unknown name is an error."""
    env = Environment(
        loader=FileSystemLoader(HOUSE / "console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals |= {
        "age": words.age,
        "day": words.day,
        "lasting": words.lasting,
        "message_link": words.message_link,
        "milliseconds": words.milliseconds,
        "moment": _moment,
        "number": words.number,
        "outcome": words.outcome,
        "plural": words.plural,
        "query_of": query_of,
        "queue_link": words.queue_link,
        "short": words.short,
        "size": words.size,
        "state": words.state,
        "with_query": with_query,
    }
    return env


@pass_context
def _moment(context: Context, value: Any) -> Any:
    return words.moment(value, context["person"].zone)
