"""`omsbus demo --once` as a user calls it, and the record of envelopes that it leaves."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from lxml import etree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420), pytest.mark.feature("SMEV-13")]

HOUSE = Path(__file__).resolve().parents[3]
SCHEMAS = HOUSE.parent / "shared" / "smev3" / "schemas"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
TYPES = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types"
NAME = re.compile(r"(\d{6})-(1\.[123])-(\w+)-(request|answer)\.xml")
KINDS = ["zags.birth", "zags.death", "fns.egrul", "sfr.snils", "ffoms.services"]


@dataclass
class Demo:
    code: int
    output: str
    account: dict[str, Any]
    envelopes: list[Path]
    left_over: list[str]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    # Not under pytest's own folder: the embedded server runs as another user, who may not enter it.
    with tempfile.TemporaryDirectory(prefix="omsbus-demo-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        command = [
            sys.executable, "-c", "from core.cli import main; main()", "demo", "--once", "--scale", "0.3",
            "--json", str(folder / "account.json"), "--record", str(folder / "record"), "--data", str(folder / "data"),
        ]  # fmt: skip
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OMSBUS_")}
        ran = subprocess.run(
            command, cwd=HOUSE, env=environment | {"COLUMNS": "160"}, capture_output=True, text=True, timeout=400
        )
        assert (folder / "account.json").exists(), ran.stdout + ran.stderr
        yield Demo(
            ran.returncode,
            ran.stdout,
            json.loads((folder / "account.json").read_text("utf-8")),
            sorted((folder / "record").iterdir()),
            [" ".join(one.cmdline()) for one in psutil.process_iter() if str(folder / "data") in _words(one)],
        )


def test_the_demo_reconciles_and_says_so(demo: Demo) -> None:
    assert demo.code == 0, demo.output
    assert demo.account["ok"] is True
    assert all(check["ok"] and check["expected"] == check["actual"] for check in demo.account["checks"])
    assert "Всё сошлось" in demo.output
    assert "omsbus message list" in demo.output, "where to look next"


@pytest.mark.feature("SMEV-34", "SMEV-35", "SMEV-42", "SMEV-53", "SMEV-21")
def test_all_five_kinds_travelled(demo: Demo) -> None:
    assert list(demo.account["kinds"]) == KINDS
    for name, row in demo.account["kinds"].items():
        assert row["sent"] > 0, name
        assert row["sent"] == row["received"] == row["acknowledged"], name
        assert row["handled"] > 0, name
    assert demo.account["kinds"]["sfr.snils"]["asked"] > 0
    assert demo.account["kinds"]["fns.egrul"]["answered"] == 0


@pytest.mark.feature("BUS-02", "BUS-12")
def test_everything_that_was_to_go_wrong_did(demo: Demo) -> None:
    faults = " ".join(demo.account["faults"])
    for words in ("выключен", "повторная доставка", "обрыв", "504", "подпись", "не по схеме", "kill -9"):
        assert words in faults
    assert sum(row["repeats"] for row in demo.account["kinds"].values()) > 0
    assert sum(row["quarantined"] for row in demo.account["kinds"].values()) >= 2


def test_nothing_is_left_running(demo: Demo) -> None:
    assert demo.left_over == []


def test_every_envelope_is_recorded_in_order_whole_and_in_pairs(demo: Demo) -> None:
    names = [NAME.fullmatch(one.name) for one in demo.envelopes]
    assert all(names), "names that do not follow the rule"
    found = [name for name in names if name]
    assert [int(name[1]) for name in found] == list(range(1, len(found) + 1))
    assert {name[2] for name in found} >= {"1.2", "1.3"}
    assert {name[3] for name in found} >= {"SendRequest", "SendResponse", "GetRequest", "GetResponse", "Ack"}
    for path in demo.envelopes:
        root = etree.parse(path).getroot()
        assert root.tag == f"{{{SOAP}}}Envelope", path.name
        assert root.find(f"{{{SOAP}}}Body") is not None, path.name
    sides = Counter(name[4] for name in found)
    assert 0 <= sides["request"] - sides["answer"] <= 10, "only torn connections and gateway pages have no answer"


@pytest.mark.parametrize("version", ["1.1", "1.2", "1.3"])
def test_every_recorded_envelope_fits_the_published_schemas(demo: Demo, version: str) -> None:
    if not SCHEMAS.is_dir():
        pytest.skip("нет ../shared/smev3/schemas")
    schema = published(version)
    for path in demo.envelopes:
        if f"-{version}-" not in path.name:
            continue
        body = etree.parse(path).getroot().find(f"{{{SOAP}}}Body")
        assert body is not None
        for content in body:
            fault = content.find("detail")
            for element in [content] if fault is None else list(fault):
                assert schema.validate(element), (path.name, schema.error_log)


def published(version: str) -> etree.XMLSchema:
    """types and faults together: an xsi:type of a fault stands inside of a status."""
    imports = "".join(
        f'<xs:import namespace="{space}" schemaLocation="smev-message-exchange-{name}-{version}.xsd"/>'
        for name, space in (("types", f"{TYPES}/{version}"), ("faults", f"{TYPES}/faults/{version}"))
    )
    together = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>'
    return etree.XMLSchema(etree.fromstring(together.encode(), base_url=str(SCHEMAS / version / "all.xsd")))


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
