"""Every SOAP envelope of the demo, one XML file each, ordered by name."""

from __future__ import annotations

from pathlib import Path

from simulators.smev3.control import SimulatorControl


def record(smev: SimulatorControl, directory: Path) -> int:
    """Write the envelopes of both directions (of a multipart answer its root part); how many.

    Name: number-version-operation-request|answer.xml. Answers that an armed fault made into something else than an
    envelope (a page of HTML) are left out.
    """
    directory.mkdir(parents=True, exist_ok=True)
    count = 0
    for one in smev.envelopes():
        if one["body"].lstrip()[:1] != b"<" or b"Envelope" not in one["body"][:400]:
            continue
        count += 1
        side = "request" if one["direction"] == "in" else "answer"
        name = f"{count:06d}-{one['version']}-{one['operation']}-{side}.xml"
        (directory / name).write_bytes(one["body"])
    return count
