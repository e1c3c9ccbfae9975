"""Many requests under way: order of answers, short answers, failures in the middle."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

import pytest
from paramiko.sftp import CMD_DATA, CMD_READ, CMD_STATUS, CMD_WRITE

from connectors.files.sftp_window import PIECE_BYTES, Window


class Answer:
    def __init__(self, octets: bytes = b"", error: Exception | None = None) -> None:
        self.octets, self.error = octets, error

    def get_string(self) -> bytes:
        return self.octets


class Sftp:
    """A server that answers in turns of its own."""

    def __init__(self, content: bytes = b"", *, most: int = PIECE_BYTES, fails_at: int = -1) -> None:
        self.content, self.most, self.fails_at = content, most, fails_at
        self.written: dict[int, bytes] = {}
        self.under_way = self.peak = 0
        self._asked: deque = deque()
        self._number = 0

    def _async_request(self, asker, kind, _handle, offset, what):
        self._number += 1
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        offset = int(offset)
        if kind == CMD_WRITE:
            self.written[offset] = what
            answer = CMD_STATUS, Answer(error=OSError("Failure") if offset == self.fails_at else None)
        else:
            assert kind == CMD_READ
            octets = self.content[offset : offset + min(what, self.most)]
            answer = (CMD_DATA, Answer(octets)) if octets else (CMD_STATUS, Answer(error=EOFError()))
        self._asked.append((asker, self._number, answer))
        return self._number

    def _read_response(self):
        asker, number, (kind, answer) = self._asked.pop()  # the last first
        self.under_way -= 1
        asker._async_response(kind, answer, number)

    def _convert_status(self, answer):
        if answer.error:
            raise answer.error


def window_of(sftp: Sftp) -> Window:
    return Window(sftp, SimpleNamespace(handle=b"h"))


def write_all(window: Window, content: bytes) -> None:
    for start in range(0, len(content), 250_000):
        window.write(start, content[start : start + 250_000])
    window.finish()


CONTENT = bytes(range(256)) * 20_000


@pytest.mark.parametrize("most", [PIECE_BYTES, 10_000])
def test_a_file_is_read_whole_whatever_the_order_and_the_length_of_answers(most):
    sftp = Sftp(CONTENT, most=most)
    assert b"".join(window_of(sftp).blocks(len(CONTENT))) == CONTENT
    assert 1 < sftp.peak <= 64


def test_a_file_that_is_shorter_than_told_ends_where_it_ends():
    assert b"".join(window_of(Sftp(CONTENT)).blocks(len(CONTENT) + 1_000_000)) == CONTENT


def test_a_failed_write_in_the_middle_is_raised_and_not_a_hole():
    window = window_of(Sftp(fails_at=PIECE_BYTES * 3))
    with pytest.raises(OSError, match="Failure"):
        write_all(window, CONTENT)


def test_what_is_written_is_what_was_given():
    sftp = Sftp()
    write_all(window_of(sftp), CONTENT)
    assert b"".join(sftp.written[offset] for offset in sorted(sftp.written)) == CONTENT
    assert sftp.peak <= 65
