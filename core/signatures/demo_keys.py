"""Demo keys: a whole ГОСТ world in a folder, so that the demo, the simulator and the tests have someone to be.

Every organisation, ОГРН and ИНН here is invented. Keys are PKCS#8 under a password, all files 0600.
The layout is fixed, others rely on it:

    <dir>/ca.pem  <dir>/trust/ca.pem      the demo CA; `trust/` is a ready trust store
    <dir>/<name>.pem  <dir>/<name>.key    fund, smev, zags, fns, sfr, epgu
    <dir>/expired.*                       a СМЭВ certificate that ended last year (fault tests)
    <dir>/foreign.*                       the same name from a CA that nobody trusts (fault tests)
    <dir>/password                        the password of all keys
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from core.errors import ConfigError
from core.signatures.certificate import Certificate
from core.signatures.issuing import Authority, IssuedKey
from core.signatures.keys import Identity, load_identity

PASSWORD_ENV: Final = "OMSBUS_KEY_PASSWORD"
_FILE_MODE: Final = 0o600
_DIRECTORY_MODE: Final = 0o700

# name -> CN, O, ОГРН, ИНН; all invented (no such numbers: region code 00)
PARTICIPANTS: Final = {
    "fund": ("ИС ТФОМС (демо)", "Территориальный фонд ОМС Демонстрационной области", "1020000000001", "000000000101"),
    "smev": ("СМЭВ (демо)", "Оператор СМЭВ (демо)", "1020000000002", "000000000102"),
    "zags": ("ИС ЕГР ЗАГС (демо)", "Поставщик сведений ЗАГС (демо)", "1020000000003", "000000000103"),
    "fns": ("ИС ФНС (демо)", "Поставщик сведений ФНС (демо)", "1020000000004", "000000000104"),
    "sfr": ("ИС СФР (демо)", "Поставщик сведений СФР (демо)", "1020000000005", "000000000105"),
    "epgu": ("ЕПГУ (демо)", "Потребитель сведений ЕПГУ (демо)", "1020000000006", "000000000106"),
    "expired": ("СМЭВ (демо)", "Оператор СМЭВ (демо)", "1020000000002", "000000000102"),
    "foreign": ("СМЭВ (демо)", "Оператор СМЭВ (демо)", "1020000000002", "000000000102"),
}


@dataclass(frozen=True)
class DemoKeys:
    """Where the demo keys lie and the password that opens all of them."""

    directory: Path
    password: str

    @property
    def ca(self) -> Path:
        """The demo CA's certificate."""
        return self.directory / "ca.pem"

    @property
    def trust(self) -> Path:
        """A trust store directory holding the demo CA."""
        return self.directory / "trust"

    def key(self, name: str) -> Path:
        """The key file of a participant."""
        return self.directory / f"{name}.key"

    def certificate(self, name: str) -> Path:
        """The certificate file of a participant."""
        return self.directory / f"{name}.pem"

    def identity(self, name: str) -> Identity:
        """The signing identity of a participant (`fund`, `smev`, …). Raises ConfigError."""
        return load_identity(self.key(name), self.certificate(name), self.password)


def make_demo_keys(directory: Path, password: str, *, force: bool = False) -> DemoKeys:
    """Make the whole set (see the layout above); takes well under a second.

    Raises ConfigError when there is a set already and `force` is not given, when the directory cannot be
    written, or when the ГОСТ engine is missing.
    """
    made = DemoKeys(directory, password)
    if not password:
        raise ConfigError("Пароль ключей пуст: задайте непустой пароль.")
    if made.ca.exists() and not force:
        raise ConfigError(f"В каталоге {directory} уже есть ключи: укажите другой каталог или --force.")
    try:
        for folder in (directory, made.trust):
            folder.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        _fill(made)
    except OSError as error:
        raise ConfigError(f"Каталог {directory} не пишется: проверьте путь и права.", detail=str(error)) from None
    return made


def _fill(made: DemoKeys) -> None:
    trusted = Authority.self_signed([("CN", "Демонстрационный УЦ"), ("O", "omsbus (демо)")])
    stranger = Authority.self_signed([("CN", "Чужой УЦ"), ("O", "omsbus (демо)")])
    now = datetime.now(UTC)
    for name, (common, organisation, ogrn, inn) in PARTICIPANTS.items():
        subject = [("CN", common), ("O", organisation), ("ОГРН", ogrn), ("ИНН", inn)]
        key = IssuedKey.generate()
        issuer = stranger if name == "foreign" else trusted
        ended = now - timedelta(days=30) if name == "expired" else None
        begun = now - timedelta(days=395) if name == "expired" else None
        certificate = issuer.issue(subject, key, not_before=begun, not_after=ended)
        _write(made.key(name), key.pem(made.password))
        _write(made.certificate(name), as_pem(certificate))
    _write(made.directory / "password", made.password.encode() + b"\n")
    _write(made.trust / "ca.pem", as_pem(trusted.certificate))
    _write(made.ca, as_pem(trusted.certificate))


def as_pem(certificate: Certificate) -> bytes:
    """A certificate as PEM text."""
    return certificate.x509.public_bytes(Encoding.PEM)


def _write(path: Path, data: bytes) -> None:
    """Write under a temporary name with the final rights, then rename: no moment with an open or half key."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    temporary.replace(path)
