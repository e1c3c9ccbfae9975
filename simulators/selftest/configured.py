"""The settings file of the self-test's bus: small limits, so that every way of storing and every time-out is used."""

from __future__ import annotations

from typing import Final

from simulators.selftest.cargo import FILES, FIRST_QUEUE, PARTNER

SETTLE_FILE_S: Final = 1.0
ANSWER_TIMEOUT_S: Final = 4.0

_CONFIG = """\
# Written by omsbus selftest.
workers = 2
sweep_s = 0.5
inline_payload_bytes = 4096
blob_payload_bytes = 32768
log_level = "WARNING"

[connectors.in]
type = "http"
path = "/in"
open_queues = ["{first}"]

[connectors.{partner}]
type = "http"
url = "http://127.0.0.1:{partner_port}/take"
content_type = "application/json"
connect_timeout_s = 2.0
answer_timeout_s = {timeout_s}
"""

_FILES = """
[connectors.{files}]
type = "files"
url = "{url}"
connect_timeout_s = 2.0
answer_timeout_s = {timeout_s}
{login}
[connectors.{files}.inbox]
folder = "inbox"
pattern = "*.json"
queue = "{first}"
settle_s = {settle_s}
interval_s = 0.5
done_folder = "done"

[connectors.{files}.outbox]
folder = "outbox"
name = "{{external_id}}.json"
"""


def settings_text(partner_port: int, *, files_url: str = "", files_login: str = "") -> str:
    """TOML. files_url: "" leaves the file connector out; files_login: further lines of its table."""
    text = _CONFIG.format(first=FIRST_QUEUE, partner=PARTNER, partner_port=partner_port, timeout_s=ANSWER_TIMEOUT_S)
    if files_url:
        text += _FILES.format(
            files=FILES,
            url=files_url,
            login=files_login,
            first=FIRST_QUEUE,
            settle_s=SETTLE_FILE_S,
            timeout_s=ANSWER_TIMEOUT_S,
        )
    return text
