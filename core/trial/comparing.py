"""One document, the present way and the new way, and what came of each."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from core import stages, xml
from core.errors import BusError, ConfigError, SchemaViolation
from core.message import Message
from core.route import Format, Route
from core.trial.candidate import Candidate
from core.trial.differences import FIELDS, OUTPUT, Change, between, places_of_value, places_of_xml
from core.trial.sandbox import Broke, Sandbox

STAGES = {
    "parse": "разбор XML",
    "schema": "проверка по схеме",
    "transform": "преобразование",
    "model": "поля для обработчика",
    "limit": "пределы пробного прогона",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a document. stage: where it failed, a name of STAGES; "": it did not.

    output  what the transformer made: XML, or JSON of a Python transformer's dict     fields  of the bound model
    """

    stage: str = ""
    reason: str = ""
    detail: str = field(default="", repr=False)
    output: bytes | None = field(default=None, repr=False)
    fields: Any = field(default=None, repr=False)

    @property
    def failed(self) -> bool:
        return bool(self.stage)


class Comparison:
    """Both ways for one route and format. Not thread-safe; `close` ends the child process.

    broken: how often the new way had to be killed
    """

    def __init__(self, route: Route, form: Format, candidate: Candidate) -> None:
        self._route = route
        self._form = form
        self._candidate = candidate
        self._sandbox = Sandbox(candidate) if candidate.files else None
        self._python = _python(candidate)
        self.broken = 0

    def open(self) -> None:
        """Raises ConfigError when what is tried does not compile."""
        if self._sandbox:
            self._sandbox.open()

    def close(self) -> None:
        if self._sandbox:
            self._sandbox.close()

    def is_of_this_format(self, message: Message) -> bool:
        """Its version says so; where the journal has none, its root element."""
        if message.version:
            return message.version == self._form.version
        try:
            return str(xml.parse(message.body).tag) == self._form.root
        except BusError:
            return False

    def old(self, body: bytes) -> Outcome:
        """What the bus does with it today."""
        return self._through(body, self._checked_by_house, self._made_by_house)

    def new(self, body: bytes) -> Outcome:
        """The same with what is tried in its place."""
        if self._python:
            return self._through(body, self._checked_by_house, self._python)
        assert self._sandbox
        schema, transform = self._candidate.schema, self._candidate.transform
        if not schema and (refused := self._refused_by_house(body)):
            return refused
        try:
            answered = self._sandbox.apply(body)
        except Broke as error:
            self.broken += 1
            return Outcome("limit", f"Новая версия: {error}")
        if "output" not in answered:
            return Outcome(answered["stage"], answered["reason"], answered["detail"])
        if not transform:
            return self._through(body, lambda _document: None, self._made_by_house)
        output = base64.b64decode(answered["output"])
        if not output:
            return Outcome("transform", "Новое преобразование ничего не дало: документ не того вида")
        return self._bound(output)

    def _refused_by_house(self, body: bytes) -> Outcome | None:
        try:
            self._checked_by_house(xml.parse(body))
        except SchemaViolation as error:
            return Outcome("schema", error.reason, error.detail)
        except BusError as error:
            return Outcome("parse", error.reason, error.detail)
        return None

    def _through(
        self, body: bytes, check: Callable[[etree._Element], None], make: Callable[[etree._Element], Any]
    ) -> Outcome:
        stage = "parse"
        try:
            document = xml.parse(body)
            stage = "schema"
            check(document)
            stage = "transform"
            made = make(document)
        except BusError as error:
            return Outcome(stage, error.reason, error.detail)
        except Exception as error:  # a Python transformer's own defect
            return Outcome(stage, f"Преобразование прервано ошибкой {type(error).__name__}", str(error))
        if not isinstance(made, dict):
            return self._bound(etree.tostring(made, encoding="UTF-8", with_tail=False))
        output = json.dumps(made, ensure_ascii=False, indent=2, default=str).encode()
        return self._with_fields(made, output)

    def _checked_by_house(self, document: etree._Element) -> None:
        if self._form.schema:
            stages.validate(self._form, document)

    def _made_by_house(self, document: etree._Element) -> Any:
        return stages.transformer(self._form.transform)(document) if self._form.transform else document

    def _bound(self, output: bytes) -> Outcome:
        try:
            made = xml.parse(output)
        except BusError as error:
            return Outcome("transform", f"Результат преобразования: {error.reason}", error.detail)
        return self._with_fields(made, output)

    def _with_fields(self, made: Any, output: bytes) -> Outcome:
        if self._route.body is None or not (self._form.transform or self._python):
            return Outcome(output=output)
        try:
            bound = stages.bind(made, self._route.body)
        except SchemaViolation as error:
            return Outcome("model", error.reason, error.detail, output)
        return Outcome(output=output, fields=bound.model_dump(mode="json", warnings=False))


def changes(old: Outcome, new: Outcome) -> list[Change]:
    """Between two that did not fail."""
    found = between(OUTPUT, places(old.output), places(new.output))
    return found + between(FIELDS, places_of_value(old.fields), places_of_value(new.fields))


def places(output: bytes | None) -> dict[str, str]:
    """Of XML or of JSON."""
    if not output:
        return {}
    return places_of_xml(xml.parse(output)) if output.startswith(b"<") else places_of_value(json.loads(output))


def _python(candidate: Candidate) -> Callable[[etree._Element], Any] | None:
    """A developer's own file, as a program of this process. Raises ConfigError."""
    if candidate.python is None:
        return None
    if not candidate.python.is_file():
        raise ConfigError(f"Нет файла {candidate.python}")
    return stages.load_transformer(candidate.python)
