"""What an open connector holds: keys loaded, trust stores read, one HTTP client. Replaced whole on reopening."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from connectors.smev3.client import Client
from connectors.smev3.deliveries import Reading, Trust
from connectors.smev3.envelopes import Unsigned
from connectors.smev3.settings import Settings
from core import xml
from core.errors import BusError, ConfigError, Permanent
from core.signatures import xmldsig
from core.signatures.certificate import Certificate
from core.signatures.certificates import TrustStore
from core.signatures.keys import Identity, load_identity, read_password


@dataclass
class Session:
    """Keys, trust and connections of one connector between `open` and `close`. Safe for many threads."""

    connector: str
    settings: Settings
    client: Client
    identities: tuple[Identity, ...] = field(repr=False)
    trust: Trust = field(repr=False)
    sender_trust: Trust = field(repr=False)
    _unchecked: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def sign(self, unsigned: Unsigned, *, outgoing: bool = False) -> bytes:
        """The envelope with our signature, as it will be sent. `outgoing`: one of those that are self-checked.

        Raises Permanent (the document cannot be signed by the rules of СМЭВ), ConfigError (the key).
        """
        identity = self.identity()
        envelope = unsigned.around(
            xmldsig.sign(unsigned.whole, unsigned.signed_id, identity, escaping=self.settings.escaping)
        )
        if outgoing and self._must_check():
            self._check_own(envelope)
        return envelope

    def identity(self, now: datetime | None = None) -> Identity:
        """The identity that signs at this moment: the second one from its date on, or when the first has expired.

        Raises ConfigError when none is valid.
        """
        moment = now or datetime.now(UTC)
        due = self.settings.next_is_due(moment)
        candidates = tuple(reversed(self.identities)) if due else self.identities
        for identity in candidates:
            if not identity.certificate.validity(moment):
                return identity
        raise ConfigError(
            f"Подписывать нечем: {candidates[0].certificate.validity(moment)} "
            "Получите новый сертификат, зарегистрируйте его в ЛК УВ и укажите в настройках коннектора"
        )

    def reading(self) -> Reading:
        """How answers are read, under the trust and the policies of the settings."""
        return Reading(
            connector=self.connector,
            trust=self.trust,
            sender_trust=self.sender_trust,
            sender_signature=self.settings.sender_signature,
            escaping=self.settings.escaping,
        )

    def _must_check(self) -> bool:
        if self._unchecked > 0:
            with self._lock:
                self._unchecked = max(0, self._unchecked - 1)
            return True
        return self._unchecked < 0

    def _check_own(self, envelope: bytes) -> None:
        """Verify what is about to be sent exactly as СМЭВ will. Raises Permanent."""
        root = xml.parse(envelope)
        (signature,) = xmldsig.signatures_in(root)[-1:]
        verified = xmldsig.verify(root, signature, escaping=self.settings.escaping)
        if not verified.ok:
            raise Permanent(
                f"Собственная подпись не прошла проверку перед отправкой. {verified.reason} "
                "Передайте документ разработчику: omsbus smev transform покажет подписанные байты"
            )


def open_session(connector: str, settings: Settings, client: Client) -> Session:
    """Load keys and trust stores from their files. Raises ConfigError naming the file and the remedy."""
    try:
        identities = [
            _identity(settings.key_file, settings.certificate_file, settings.password_env, settings.password_file)
        ]
        if settings.next_key_file is not None and settings.next_certificate_file is not None:
            identities.append(
                _identity(
                    settings.next_key_file,
                    settings.next_certificate_file,
                    settings.next_password_env or settings.password_env,
                    settings.next_password_file or settings.password_file,
                )
            )
        operators = TrustStore.from_directory(settings.trust_dir, accept_stale_lists=settings.accept_stale_lists)
        senders = (
            operators
            if settings.sender_trust_dir is None
            else TrustStore.from_directory(settings.sender_trust_dir, accept_stale_lists=settings.accept_stale_lists)
        )
    except ConfigError:
        raise
    except BusError as error:
        raise ConfigError(error.reason, detail=error.detail) from None
    if not (settings.pin or settings.operator_subject or any((settings.trust_dir / "pinned").glob("*"))):
        raise ConfigError(
            "Не указано, чей сертификат считать сертификатом СМЭВ: задайте коннектору pin или operator_subject "
            f"либо положите сертификат оператора в {settings.trust_dir / 'pinned'}"
        )
    return Session(
        connector,
        settings,
        client,
        tuple(identities),
        operator_trust(operators, settings.pin, settings.operator_subject),
        store_trust(senders),
        settings.verify_outgoing_first,
    )


def store_trust(store: TrustStore) -> Trust:
    """Trust in whatever the store trusts."""

    def judge(certificate: Certificate, chain: tuple[Certificate, ...], /) -> str:
        answer = store.check(certificate, intermediates=chain)
        return "" if answer.trusted else answer.reason

    return judge


def operator_trust(store: TrustStore, pin: tuple[str, ...], subject: tuple[str, ...]) -> Trust:
    """Trust in the operator of СМЭВ alone: the store's trust, and the certificate is pinned or names the operator."""

    def judge(certificate: Certificate, chain: tuple[Certificate, ...], /) -> str:
        answer = store.check(certificate, intermediates=chain)
        if not answer.trusted:
            return answer.reason
        if answer.pinned or certificate.fingerprint in pin:
            return ""
        if subject and set(subject) <= set(certificate.subject.split(", ")):
            return ""
        return "Сертификат действителен, но принадлежит не оператору СМЭВ."

    return judge


def _identity(key: Path, certificate: Path, env: str, secret: Path | None) -> Identity:
    return load_identity(key, certificate, read_password(env or None, secret))
