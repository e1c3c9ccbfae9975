"""Which tables and columns a folder of Alembic revisions makes, read from the SQL it renders: no database is needed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

_NAME: Final = r'"?([a-z_][a-z0-9_]*)"?\."?([a-z_][a-z0-9_]*)"?'
_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_STATEMENT: Final = re.compile(
    rf"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<create>{_NAME})\s*\(|"
    rf"DROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?P<drop>{_NAME})|"
    rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<alter>{_NAME})(?P<actions>[^;]*)",
    re.IGNORECASE,
)
_ACTION: Final = re.compile(
    r"ADD\s+COLUMN\s+(?:IF\s+NOT\s+EXISTS\s+)?\"?(?P<add>\w+)|DROP\s+COLUMN\s+(?:IF\s+EXISTS\s+)?\"?(?P<drop>\w+)|"
    r"RENAME\s+(?:COLUMN\s+)?\"?(?P<old>\w+)\"?\s+TO\s+\"?(?P<new>\w+)",
    re.IGNORECASE,
)
_NOT_COLUMNS: Final = {"primary", "unique", "check", "constraint", "foreign", "exclude", "like"}


class NotRendered(Exception):
    """The revisions look at a database while they run."""


def tables(folder: Path) -> dict[str, set[str]]:
    """`schema.table` → its columns after the last revision. Raises NotRendered."""
    sql = _COMMENT.sub("", _rendered(folder))
    made: dict[str, set[str]] = {}
    for found in _STATEMENT.finditer(sql):
        if found["create"]:
            made[_plain(found["create"])] = set(_columns(sql[found.end() :]))
        elif found["drop"]:
            made.pop(_plain(found["drop"]), None)
        else:
            _alter(made.setdefault(_plain(found["alter"]), set()), found["actions"])
    return {name: columns for name, columns in made.items() if not name.endswith(".migration")}


def _rendered(folder: Path) -> str:
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("version_locations", str(folder))
    config.set_main_option("path_separator", "os")
    buffer = io.StringIO()
    try:
        script = ScriptDirectory.from_config(config)

        def steps(revision: Any, _context: Any) -> Any:
            return script._upgrade_revs("heads", revision)

        with EnvironmentContext(config, script, fn=steps, as_sql=True) as environment:
            environment.configure(
                dialect_name="postgresql", output_buffer=buffer, version_table="migration", version_table_schema="x"
            )
            environment.run_migrations()
    except Exception as error:  # whatever a revision may raise
        raise NotRendered(f"{type(error).__name__}: {error}") from error
    return buffer.getvalue()


def _columns(text: str) -> Iterator[str]:
    """Names of the columns in what follows `CREATE TABLE x (`."""
    for part in _parts(text):
        words = part.split()
        if words and words[0].lower() not in _NOT_COLUMNS:
            yield words[0].strip('"')


def _parts(text: str) -> Iterator[str]:
    """What the commas of the first level part, up to the closing bracket."""
    depth, quoted, part = 0, False, ""
    for sign in text:
        if sign == "'":
            quoted = not quoted
        elif not quoted and sign == "(":
            depth += 1
        elif not quoted and sign == ")":
            depth -= 1
            if depth < 0:
                break
        elif not quoted and sign == "," and depth == 0:
            yield part
            part = ""
            continue
        part += sign
    yield part


def _alter(columns: set[str], actions: str) -> None:
    for action in _ACTION.finditer(actions):
        if action["add"]:
            columns.add(action["add"])
        elif action["drop"]:
            columns.discard(action["drop"])
        elif action["old"] in columns:
            columns.discard(action["old"])
            columns.add(action["new"])


def _plain(name: str) -> str:
    return name.replace('"', "").lower()
