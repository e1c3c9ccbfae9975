"""A document or a command that somebody outside hands to a route: checked as it will be when it is handled."""

from __future__ import annotations

from uuid import UUID

from core import operations, stages
from core.bus import Bus
from core.database import driver
from core.errors import ConfigError, IdReused, Unavailable
from core.message import Message
from core.route import Route


def submit(bus: Bus, message: Message, *, actor: str) -> UUID:
    """Journal the message for the route that its kind names; its id.

    With an external id it is journaled once: the same content again gives the first one's id.

    Raises ConfigError when there is no such route, IdReused for another content under a known external id,
    MalformedXml, SchemaViolation, UnknownKind, Unavailable (also when the disk is nearly full).
    """
    route = _route_of(bus, message.kind)
    message = message.but(queue=route.name)
    stages.apply(route, message)
    if message.external_id:
        with bus.database.transaction() as connection:
            twin = bus.journal.twin(driver(connection), message)
        if twin is not None:
            if twin[1] != message.digest():
                raise IdReused("Под этим идентификатором уже принято другое содержимое: выберите другой")
            return twin[0]
    if refusal := bus.pressure.reason():
        raise Unavailable(refusal, pause_s=60.0)
    return operations.put(bus, message, actor=actor)


def _route_of(bus: Bus, name: str) -> Route:
    """Raises ConfigError that names what there is."""
    route = bus.routes.by_name.get(name)
    if route is None:
        known = ", ".join(sorted(bus.routes.by_name)) or "ни одного"
        raise ConfigError(f"Нет маршрута {name}. Есть: {known}")
    return route
