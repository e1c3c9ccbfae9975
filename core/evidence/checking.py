"""Checks an evidence package with nothing but the package: no database, no settings.

    check(file, kept=…, trust=…) -> Verdict      problems and what was checked, in sentences

What is proven and what is not, it says itself: a package proves that it is of one piece with the end of a chain of
hashes; that this end is the bus's own, only an end that was kept elsewhere proves.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Final
from uuid import UUID

from core.configuration import version
from core.evidence import proof, signatures, summary
from core.evidence.archive import MANIFEST, TOTAL_MOST_BYTES, Reader
from core.evidence.packing import FORMAT, SIGNED
from core.evidence.refusals import MalformedPackage
from core.seals.heads import Head
from core.signatures.certificates import TrustStore

_JSON_MOST_BYTES: Final = 32 * 1024 * 1024
_ROWS_MOST_BYTES: Final = 256 * 1024 * 1024
"""All rows together: they are in memory at once."""
_ATTACHMENT: Final = "contents/attachment-"
_KEYS: Final = ("message", "made_at", "made_by", "program", "contents", "head", "withheld", "removed", "damaged", "cut")


@dataclass(slots=True)
class Verdict:
    """What the check says. problems: what is wrong; said: what was checked and what it proves."""

    message: str = ""
    made_at: str = ""
    files: int = 0
    sealed: int = 0
    unsealed: int = 0
    head: str = ""
    head_known: bool | None = None
    signatures: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "ok": self.ok}


def check(
    file: BinaryIO,
    *,
    kept: Sequence[Head] = (),
    trust: TrustStore | None = None,
    most_bytes: int = TOTAL_MOST_BYTES,
) -> Verdict:
    """Check a package, whatever it is. Never raises for a bad one: see `Verdict.problems`.

    kept  heads that were written down apart from the bus; without a match the package is not confirmed
    trust  whom the checker trusts          most_bytes  refuse what unpacks to more
    """
    verdict = Verdict()
    try:
        _Checking(Reader(file, most_bytes), verdict, kept, trust).run()
    except MalformedPackage as error:
        verdict.problems.append(error.reason)
    except RecursionError:
        verdict.problems.append("Файлы пакета вложены слишком глубоко: это не доказательный пакет")
    return verdict


@dataclass(slots=True)
class _Checking:
    """One check under way. `manifest` and `rows` are filled as it goes."""

    reader: Reader
    verdict: Verdict
    kept: Sequence[Head]
    trust: TrustStore | None
    manifest: dict[str, Any] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self) -> None:
        self._manifest()
        if not self._files():
            return
        for step, words in (
            (self._rows, "Строки журнала в пакете не читаются"),
            (self._proof, "Доказательство proof/proof.json не читается"),
            (self._contents, "Содержимое пакета не описано так, как должно быть"),
            (self._signatures, "Описание подписей signatures.json не читается"),
            (self._summary, "Файлы, по которым составлена сводка, не читаются"),
        ):
            if not self._step(step, words):
                return

    def _step(self, step: Callable[[], None], words: str) -> bool:
        """Do it; False when what it reads is of another shape."""
        try:
            step()
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            self.verdict.problems.append(f"{words} ({type(error).__name__})")
            return False
        return True

    def _manifest(self) -> None:
        try:
            found = json.loads(self.reader.small(MANIFEST, _JSON_MOST_BYTES))
            if found["format"] != FORMAT:
                raise MalformedPackage("Формат пакета не тот, что знает эта программа: обновите её")
            UUID(found["message"])
            datetime.fromisoformat(found["made_at"])
            for key in _KEYS:
                if not isinstance(found[key], list if key in ("withheld", "removed", "damaged", "cut") else str):
                    raise TypeError(key)
            for one in (*found["withheld"], *found["removed"], *found["files"]):
                if not isinstance(one["name"], str) or not isinstance(one["sha256"], str):
                    raise TypeError("name")
        except (KeyError, TypeError, ValueError) as error:
            raise MalformedPackage("Опись manifest.json не читается", detail=str(error)) from None
        self.manifest = found
        self.verdict.message, self.verdict.made_at = found["message"], found["made_at"]

    def _files(self) -> bool:
        """Every file of the manifest, and no other, each as it was written."""
        problems = self.verdict.problems
        listed = {one["name"]: one for one in self.manifest["files"]}
        if len(listed) != len(self.manifest["files"]) or MANIFEST in listed:
            problems.append("В описи manifest.json один файл назван дважды")
        problems += [
            f"Нет файла {name}, который есть в описи" for name in sorted(set(listed) - set(self.reader.entries))
        ]
        there = set(self.reader.entries) - {MANIFEST}
        problems += [f"Файла {name} нет в описи: он подложен" for name in sorted(there - set(listed))]
        for name in sorted(there & set(listed)):
            if self.reader.entries[name].file_size != listed[name].get("size"):
                problems.append(f"Файл {name} изменён: его длина не та, что в описи")
                continue
            try:
                _, self.hashes[name] = self.reader.digest(name)
            except MalformedPackage as error:
                problems.append(error.reason)
                continue
            if self.hashes[name] != listed[name]["sha256"]:
                problems.append(f"Файл {name} изменён: его sha256 не тот, что в описи")
        self.verdict.files = len(there)
        if not problems:
            self.verdict.said.append(f"Файлов {len(there)}: все на месте и не изменены после создания пакета.")
        return not problems

    def _rows(self) -> None:
        message = self.manifest["message"]
        if sum(self.reader.entries[name].file_size for name in self.hashes if _is_row(name)) > _ROWS_MOST_BYTES:
            raise MalformedPackage("Строк журнала в пакете больше, чем бывает")
        for name in sorted(self.hashes):
            if not _is_row(name):
                continue
            self.texts[name] = self.reader.small(name)
            row = self.rows[name] = json.loads(self.texts[name])
            stream, seq = row["stream"], row["seq"]
            of = {"message": "id", "event": "message_id", "audit": "object_id"}[stream]
            if type(seq) is not int or name != f"rows/{stream}-{seq}.json" or row[of] != message:
                self.verdict.problems.append(f"Строка {name} — не об этом сообщении")
        if sum(row["stream"] == "message" for row in self.rows.values()) != 1:
            raise ValueError("message")

    def _proof(self) -> None:
        places = {name: (row["stream"], row["seq"]) for name, row in self.rows.items()}
        checked = proof.check(json.loads(self.reader.small("proof/proof.json", _JSON_MOST_BYTES)), self.texts, places)
        verdict, said = self.verdict, self.verdict.said
        verdict.problems += checked.problems
        verdict.sealed, verdict.unsealed = len(checked.sealed), len(checked.unsealed)
        verdict.head = str(checked.head or "")
        if verdict.head != self.manifest["head"]:
            verdict.problems.append("Конец цепочки в описи и в доказательстве — разные блоки")
        if not checked.problems:
            said.append(
                f"Строк журнала {len(self.texts)}, доказаны цепочкой хешей {len(checked.sealed)}; "
                f"конец цепочки {verdict.head or '— её нет'}."
            )
        if checked.unsealed:
            said.append(
                f"Ещё не опечатано, когда пакет делали: {len(checked.unsealed)}. Эти строки цепочка не доказывает "
                "(обычно это последние минуты): сделайте пакет снова позже."
            )
        self._heads(checked)

    def _heads(self, checked: proof.Checked) -> None:
        verdict = self.verdict
        common = [one for one in self.kept if one.number in checked.heads]
        wrong = [one for one in common if checked.heads[one.number] != one.hash]
        verdict.problems += [
            f"Блок {one.number} — не тот, что записан как конец цепочки: пакет сделан по другой цепочке"
            for one in wrong
        ]
        if self.kept and not common:
            verdict.head_known = False
            verdict.problems.append(
                "Записанных концов цепочки среди блоков пакета нет. Попросите пакет до записанного блока: "
                f"omsbus evidence make ID --head {max(one.number for one in self.kept)}."
            )
        elif common and not wrong:
            verdict.head_known = True
            proven = max(one.number for one in common)
            late = sum(number > proven for number in checked.sealed.values())
            verdict.said.append(
                f"Блок {proven} совпал с записанным отдельно: всё, что опечатано до него, не изменено с тех пор."
                + (f" Позже него опечатано строк: {late}." if late else "")
            )
        elif not self.kept:
            verdict.said.append(
                "Конец цепочки не сравнивался с записанным отдельно (--head): доказано, что пакет сходится "
                "сам с собой, а не что цепочка настоящая."
            )

    def _contents(self) -> None:
        """Files against the hashes that the rows have; what is not there must be named."""
        named = {one["name"] for one in (*self.manifest["withheld"], *self.manifest["removed"])}
        expected = dict(self._expected())
        count = 0
        for name, sha256 in expected.items():
            if name in self.hashes:
                count += 1
                if self.hashes[name] == sha256:
                    continue
                if name in self.manifest["damaged"]:
                    self.verdict.problems.append(f"Файл {name} был повреждён уже в базе шины: это не то, что опечатано")
                else:
                    self.verdict.problems.append(f"Файл {name} — не то, что опечатано: sha256 строки другой")
            elif name not in named:
                self.verdict.problems.append(f"Файла {name} нет, и не сказано почему")
        left = {"contents/outgoing", "contents/outgoing-headers.json"} if "outgoing.json" in self.hashes else set()
        for name in sorted(left - set(expected) - set(self.hashes) - named):
            self.verdict.problems.append(f"Файла {name} нет, и не сказано почему")
        known = set(expected) | left
        for name in sorted(self.hashes):
            if name.startswith("contents/") and name not in known and not name.startswith(_ATTACHMENT):
                self.verdict.problems.append(f"Файл {name} не назван ни одной строкой журнала")
        if not self.verdict.problems:
            hidden = len(named & set(expected))
            self.verdict.said.append(
                f"Содержимое: файлов {count}, все — те, чьи sha256 стоят в строках журнала."
                + (f" Не приложено (скрыто или удалено по сроку): {hidden}." if hidden else "")
            )

    def _expected(self) -> dict[str, str]:
        """File → sha256 by the rows."""
        made: dict[str, str] = {}
        for row in self.rows.values():
            stream, seq = row["stream"], row["seq"]
            if stream == "message":
                made |= {f"contents/{key}": row[key] for key in ("body", "received") if row[key] is not None}
                made |= {f"contents/{key}.json": row[key] for key in ("headers", "attachments")}
            elif stream == "event":
                if row["output"] is not None:
                    made[f"contents/event-{seq}.output"] = row["output"]
                if row["detail"]:
                    made[f"contents/event-{seq}.detail.txt"] = row["detail"]
            else:
                made[f"contents/audit-{seq}.detail.json"] = row["detail"]
        if "contents/attachments.json" in self.hashes:
            for number, one in enumerate(self._attachments(), 1):
                if one["payload"]:
                    made[f"{_ATTACHMENT}{number}"] = one["payload"]
        made |= self._outgoing()
        return made

    def _outgoing(self) -> dict[str, str]:
        """What left, when the event of its preparation is there: its detail is `sha256:<hash>`, itself by its hash."""
        given = self.hashes.get("contents/outgoing")
        prepared = [
            row["detail"] for row in self.rows.values() if row["stream"] == "event" and row["stage"] == "prepared"
        ]
        if given is None or not prepared or not prepared[-1]:
            return {}
        if any(hashlib.sha256(f"sha256:{given}".encode()).hexdigest() == detail for detail in prepared):
            return {"contents/outgoing": given}
        return {"contents/outgoing": "-"}

    def _attachments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.reader.small("contents/attachments.json", _JSON_MOST_BYTES))
        return found

    def _signatures(self) -> None:
        described = json.loads(self.reader.small("signatures.json", _JSON_MOST_BYTES))["signatures"]
        documents = {name: self.reader.small(name) for name in SIGNED if name in self.hashes}
        if not documents:
            self.verdict.said.append("Подписанных документов в пакете нет: подписи не проверялись.")
            return
        found = [one for name, octets in documents.items() for one in signatures.in_document(name, octets)]
        found += self._of_attachments()
        self.verdict.problems += signatures.same(described, found)
        accepted = next(row["accepted_at"] for row in self.rows.values() if row["stream"] == "message")
        for one in found:
            facts = dict(one.facts)
            if self.trust is not None:
                facts |= signatures.trust(one, self.trust, datetime.fromisoformat(accepted))
            self.verdict.signatures.append(facts)
            self.verdict.said.append(_words(facts))
        if found and self.trust is None:
            self.verdict.said.append(
                "Верная подпись значит: документ не изменён и подписан ключом этого сертификата. Можно ли доверять "
                "сертификату, проверьте по своему каталогу доверия: --trust КАТАЛОГ."
            )

    def _of_attachments(self) -> list[signatures.Found]:
        made: list[signatures.Found] = []
        if "contents/attachments.json" not in self.hashes:
            return made
        for number, one in enumerate(self._attachments(), 1):
            name = f"{_ATTACHMENT}{number}"
            if name in self.hashes and name not in self.manifest["damaged"] and signatures.is_signed(one["headers"]):
                with tempfile.NamedTemporaryFile() as file:
                    self.reader.copy(name, file)
                    file.flush()
                    made += signatures.of_attachment(name, Path(file.name), one["headers"])
        return made

    def _summary(self) -> None:
        if self.manifest["program"] != version():
            self.verdict.said.append("Сводка сделана другой версией программы и с файлами пакета не сравнивалась.")
            return
        names = ("proof/proof.json", "signatures.json", "kind.json", "family.json", "outgoing.json")
        files = {name: self.reader.small(name, _JSON_MOST_BYTES) for name in names if name in self.hashes}
        order = {"message": 0, "event": 1, "audit": 2}
        by_seq = sorted(self.rows, key=lambda name: (order[self.rows[name]["stream"]], self.rows[name]["seq"]))
        text, page = summary.render(self.manifest, {name: self.texts[name] for name in by_seq} | files)
        for name, octets in (("summary.txt", text), ("summary.html", page)):
            if self.hashes.get(name) != hashlib.sha256(octets).hexdigest():
                self.verdict.problems.append(f"Сводка {name} говорит не то, что файлы пакета")


def _is_row(name: str) -> bool:
    return name.startswith("rows/")


def _words(facts: dict[str, Any]) -> str:
    of = f"Подпись {facts['number']} в {facts['file']}"
    words = f"{of} верна" if facts["ok"] else f"{of} НЕВЕРНА: {facts['reason']}"
    if facts.get("subject"):
        words += f", владелец {facts['subject']}, издатель {facts['issuer']}"
    if "trusted" in facts:
        words += f". {'Доверие есть' if facts['trusted'] else 'ДОВЕРИЯ НЕТ'}: {facts['trust']}"
    return words.rstrip(".") + "."
