"""The API against its own document: schemathesis calls every operation with data that fits, and that does not.

A bus at work behind it; every check is on: no server error, only documented statuses, media types and bodies,
unsuitable data refused, suitable data taken (409 where the state of the bus forbids it), no call without a token.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup

from core import bulk
from core.access.permissions import PERMISSIONS
from core.message import Message
from core.route import Route
from core.schedule import Schedule
from core.webhooks import subscriptions
from core.webhooks.feed import TYPES
from core.webhooks.settings import WebhooksSettings
from core.webhooks.subscriptions import Wanted

EXAMPLES = 12
"""Of each operation and mode."""
CONFIG = {
    "checks": {
        # 400: a cursor that nobody gave; 409: the state of the bus; 404: it is not there.
        "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 409]},
        "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 409, 413, 415, 422]},
    }
}


def routes() -> list[Route]:
    note = Route("erz.note", title="Заметки")

    @note.handler
    def take(body: bytes, ctx: Any) -> None:
        pass

    return [note]


@pytest.fixture
def lived_in(bus_of: Callable[..., Any], api_of: Callable[..., Any]) -> tuple[Any, list[str]]:
    """The API of a bus at work in which something has happened, and ids of messages."""
    allow = WebhooksSettings(allow=[ip_network("127.0.0.0/8")], timeout_s=1)
    bus = bus_of(routes(), webhooks=allow)
    bus.start(intake=True, work=True, schedule=True, push=True)
    made = bus.engine.put([Message(kind="erz.note", body=b"<a/>") for _ in range(3)])
    made += bus.engine.put([Message(kind="nobody.knows", body=b'{"a": 1}')])
    bus.schedules.declare([Schedule("erz.note", "0 3 * * *", "erz.note")])
    ids = [one.message_id for one in made]
    bulk.start(bus, ids[3:], "resend", actor="test")
    subscriptions.create(bus, Wanted("Никто", "http://127.0.0.1:1/", tuple(TYPES)), actor="test")
    return api_of(bus), list(map(str, ids))


@pytest.mark.slow
@pytest.mark.feature("SMEV-07")
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_the_api_keeps_its_word(lived_in: tuple[Any, list[str]], mode: GenerationMode) -> None:
    api, ids = lived_in
    secret = api.secret(*PERMISSIONS)
    headers = {"Authorization": f"Bearer {secret}"}
    schema = schemathesis.openapi.from_asgi(
        "/api/v1/openapi.json", api.app, headers=headers, config=SchemathesisConfig.from_dict(CONFIG)
    )
    schema.validate()
    known = {"message_id": ids[0], "name": "erz.note", "webhook_id": 1, "job_id": 1, "correction_id": 1}
    called, broken = 0, []
    for found in schema.get_all_operations():
        operation = found.ok()
        there = {one: known[one] for one in re.findall(r"\{(\w+)\}", operation.path) if one in known}
        for given in [{}, {"path_parameters": there}] if there else [{}]:

            @hypothesis.settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode, **given))
            def call(case: Any) -> None:
                nonlocal called
                called += 1
                case.call_and_validate(headers=headers)

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    call()
                except hypothesis.errors.Unsatisfiable:
                    assert mode is GenerationMode.NEGATIVE, operation.label  # nothing in it can be wrong
                except FailureGroup as error:
                    broken.append(f"{operation.label}\n{error}")
    assert not broken, "\n\n".join(broken)
    assert called > 300
