"""Who is who: the operator's key, the keys of scripted participants, and the judgement of a caller's signature."""

from __future__ import annotations

import base64
import os
import threading
from datetime import datetime
from pathlib import Path

from core.errors import ConfigError, SignatureRejected
from core.signatures import xmldsig
from core.signatures.certificate import Certificate, certificates_in
from core.signatures.certificates import TrustStore
from core.signatures.demo_keys import PASSWORD_ENV
from core.signatures.keys import Identity, load_identity
from simulators.smev3.clock import MOSCOW
from simulators.smev3.faults import SmevFault, bad_signature
from simulators.smev3.incoming import Call, signature_of
from simulators.smev3.settings import Participant, Settings
from simulators.smev3.versions import XMLDSIG

EXPIRED_KEY = "expired"
FOREIGN_KEY = "foreign"
_REFERENCE = f"{{{XMLDSIG}}}SignedInfo/{{{XMLDSIG}}}Reference"
_CERTIFICATE = f".//{{{XMLDSIG}}}X509Certificate"


class Identities:
    """Keys by name from the keys folder, and participants by the subject of their certificate.

    СМЭВ finds the sender by the certificate: a renewed certificate with the same subject keeps its place, a changed
    name gives SenderIsNotRegistered (FACTS §3.3).
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded: dict[str, Identity] = {}
        self._password = settings.keys_password or _password(settings.keys_dir)
        self._trust = TrustStore.from_directory(settings.keys_dir / "trust")
        self._by_subject: dict[str, str] = {}
        self._pinned: set[str] = set()
        for participant in settings.participants:
            certificate = self._certificate(participant)
            if certificate is not None:
                self._by_subject[certificate.subject] = participant.mnemonic
                self._pinned.add(certificate.fingerprint)
        self.operator = self.named(settings.operator_key)

    def named(self, key: str) -> Identity:
        """The pair `<key>.key` and `<key>.pem` of the keys folder. Raises ConfigError."""
        with self._lock:
            if key not in self._loaded:
                folder = self._settings.keys_dir
                self._loaded[key] = load_identity(folder / f"{key}.key", folder / f"{key}.pem", self._password)
            return self._loaded[key]

    def of(self, mnemonic: str) -> Identity:
        """The signing identity of a participant that we play. Raises ConfigError."""
        participant = self._settings.participant(mnemonic)
        if participant is None or not participant.key:
            raise ConfigError(f"У участника {mnemonic} нет ключа в настройках имитатора: задайте key.")
        return self.named(participant.key)

    def caller(self, call: Call, now: datetime) -> str:
        """Mnemonic of the caller, the signature verified unless that is switched off. Raises SmevFault."""
        behaviour = self._settings.behaviour
        if not behaviour.verify_signatures:
            return self._unverified(call)
        signature = signature_of(call)
        reference = signature.find(_REFERENCE)
        target = "" if reference is None else reference.get("URI") or ""
        if not call.signed.get("Id") or target != f"#{call.signed.get('Id')}":
            raise bad_signature("IncorrectSignatureTarget", "ЭП-ОВ ссылается не на тот элемент.")
        try:
            verified = xmldsig.verify(call.envelope, signature, expected=call.signed)
        except SignatureRejected as error:
            raise bad_signature("SignatureIsInvalid", f"ЭП-ОВ недействительна. {error.reason}") from None
        if not verified.ok:
            raise bad_signature("SignatureIsInvalid", f"ЭП-ОВ недействительна. {verified.reason}")
        certificate = verified.certificate
        if certificate.not_after < now:
            until = certificate.not_after.astimezone(MOSCOW)
            text = f"Срок действия сертификата ЭП-ОВ истёк. Сертификат действителен до {until:%Y-%m-%d %H:%M}"
            raise bad_signature("CertificateIsExpired", text)
        if not (certificate.fingerprint in self._pinned or self._trust.check(certificate).trusted):
            raise bad_signature("CertificateIsNotFound", "Сертификат ЭП-ОВ не найден среди доверенных.")
        return self._registered(certificate)

    def _registered(self, certificate: Certificate) -> str:
        mnemonic = self._by_subject.get(certificate.subject)
        if mnemonic is None:
            raise SmevFault("SenderIsNotRegistered", f"Отправитель «{certificate.common_name}» не зарегистрирован.")
        return mnemonic

    def _unverified(self, call: Call) -> str:
        """Without verification the certificate, when there is one, still tells who calls."""
        text = None if call.signature is None else call.signature.findtext(_CERTIFICATE)
        if text:
            try:
                return self._registered(Certificate.from_der(base64.b64decode(text)))
            except (ValueError, SignatureRejected, SmevFault):
                pass
        if self._settings.behaviour.default_caller:
            return self._settings.behaviour.default_caller
        raise SmevFault("SenderIsNotRegistered", "Отправитель не определён: нет сертификата и default_caller.")

    def _certificate(self, participant: Participant) -> Certificate | None:
        path = participant.certificate_file
        if path is None and participant.key:
            path = self._settings.keys_dir / f"{participant.key}.pem"
        if path is None:
            return None
        try:
            return certificates_in(path.read_bytes())[0]
        except (OSError, SignatureRejected) as error:
            raise ConfigError(f"Сертификат участника {participant.mnemonic} не читается: {path} ({error})") from None


def _password(folder: Path) -> str:
    """From the environment, else from the file `password` that `omsbus keys demo` writes."""
    value = os.environ.get(PASSWORD_ENV)
    if value:
        return value
    try:
        return (folder / "password").read_text(encoding="utf-8").splitlines()[0]
    except (OSError, IndexError):
        raise ConfigError(
            f"Нет пароля ключей: задайте {PASSWORD_ENV} или файл {folder / 'password'} (omsbus keys demo создаёт его)."
        ) from None
