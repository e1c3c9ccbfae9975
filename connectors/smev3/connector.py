"""СМЭВ 3 as a connector of the bus: its polls are sources, its name is the queue of what goes out."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType

import structlog

from connectors.smev3 import answers, envelopes, faults, messages
from connectors.smev3.client import Client, Lost, Why
from connectors.smev3.session import Session, open_session
from connectors.smev3.settings import Poll, Settings
from connectors.smev3.sink import SmevSink
from connectors.smev3.source import SmevSource, StatisticsSource
from core import xml
from core.connector import Sink, Source
from core.errors import ConfigError, MalformedXml, Retryable, SchemaViolation, Unavailable
from core.signatures.keys import read_certificates

__all__ = ["Settings", "Smev", "connect"]

_log = structlog.get_logger(__name__)


class Smev:
    """One instance of СМЭВ 3. Thread-safe."""

    plain = messages.PLAIN

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.queue_statistics: Mapping[str, int] = MappingProxyType({})
        """Queue name → messages that wait there, as last told by СМЭВ (1.1 only)."""
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._client = Client(
            settings.addresses,
            connect_timeout_s=settings.connect_timeout_s,
            answer_timeout_s=settings.answer_timeout_s,
            answer_most_bytes=settings.answer_most_bytes,
            spool_most_bytes=settings.spool_most_bytes,
            connections=settings.connections,
        )
        sources: dict[str, Source] = {}
        for poll in settings.polls:
            source = (
                StatisticsSource(name, poll, settings, self._ask_statistics)
                if poll.operation == "statistics"
                else SmevSource(name, poll, settings, self._opened)
            )
            sources[source.name] = source
        self.sources: Mapping[str, Source] = MappingProxyType(sources)
        self.sinks: Mapping[str, Sink] = MappingProxyType({name: SmevSink(name, settings, self._opened)})

    def open(self) -> None:
        """Load keys and trust anew, drop connections that may be dead. Raises ConfigError."""
        fresh = open_session(self.name, self.settings, self._client)
        days = fresh.identity().certificate.days_left()
        if days < self.settings.certificate_warning_days:
            _log.warning("certificate ends soon", connector=self.name, days_left=days)
        with self._lock:
            self._session = fresh
        self._client.close()

    def close(self) -> None:
        """Close connections, forget keys."""
        with self._lock:
            self._session = None
        self._client.close()

    def check(self) -> str:
        """Reach every endpoint, look at keys and certificates; moves no message. Raises Unavailable, ConfigError."""
        session = open_session(self.name, self.settings, self._client)
        signing = session.identity().certificate
        if against := session.sender_trust(signing, ()):
            trusted = f"; внимание: наш сертификат не проходит проверку по хранилищу доверия ({against})"
        else:
            trusted = ""
        for version in self.settings.endpoints:
            try:
                self._client.probe(version)
            except Lost as lost:
                words = "недоступна" if lost.why is Why.UNREACHABLE else "отвечает ошибкой"
                raise Unavailable(
                    f"СМЭВ версии {version} {words}: проверьте адрес в настройках, сеть и защищённый канал",
                    detail=lost.detail,
                ) from None
        days = signing.days_left()
        versions = ", ".join(sorted(self.settings.endpoints))
        text = f"СМЭВ отвечает (версии {versions}); сертификат «{signing.common_name}» действует ещё {days} дн."
        if days < self.settings.certificate_warning_days:
            text += " Пора получать новый: его нужно зарегистрировать в ЛК УВ и указать в next_certificate_file."
        return text + trusted

    def certificate_days(self) -> Mapping[str, int]:
        """File name of each signing certificate that is or will be in use → days left. Raises ConfigError."""
        first, second = self.settings.certificate_file, self.settings.next_certificate_file
        days = {file.name: read_certificates(file)[0].days_left() for file in (first, second) if file is not None}
        replaced = self.settings.next_is_due(datetime.now(UTC)) or days[first.name] < 0
        if second is not None and second.name != first.name and replaced:
            del days[first.name]  # the second one signs
        return days

    def statistics(self, node: str = "") -> Mapping[str, int]:
        """Ask СМЭВ how many messages wait in our queues (GetIncomingQueueStatistics, version 1.1 only).

        Returns queue name → number. Raises Unavailable, Retryable, ConfigError.
        """
        if "1.1" not in self.settings.endpoints:
            raise ConfigError("Статистика очередей есть только в версии 1.1: добавьте её адрес в endpoints")
        session = self._opened()
        envelope = session.sign(envelopes.get_statistics("1.1", node=node))
        try:
            answer = self._client.call("1.1", "GetIncomingQueueStatistics", envelope)
            found = answers.read_statistics(answers.open_envelope(answer.envelope))
        except Lost as lost:
            raise faults.of_loss(lost, self.settings) from None
        except answers.Refused as refused:
            raise faults.of_polling(refused.fault, self.settings) from None
        except (xml.TruncatedXml, MalformedXml, SchemaViolation) as error:
            raise Retryable(f"Статистика очередей СМЭВ не разобрана. {error.reason}", detail=error.detail) from None
        self.queue_statistics = MappingProxyType(found)
        return self.queue_statistics

    def __repr__(self) -> str:
        return f"Smev({self.name!r})"

    def _ask_statistics(self, poll: Poll) -> Mapping[str, int]:
        return self.statistics(poll.node)

    def _opened(self) -> Session:
        session = self._session
        if session is None:
            self.open()
            session = self._session
        assert session is not None
        return session


def connect(name: str, settings: Settings) -> Smev:
    """Build the connector; no I/O."""
    return Smev(name, settings)
