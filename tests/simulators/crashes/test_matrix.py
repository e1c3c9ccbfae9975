"""kill -9 at the named steps of a message's way: nothing lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulators.crashes import matrix, sides


@pytest.fixture(scope="module")
def world() -> Iterator[matrix.World]:
    with matrix.world() as made:
        yield made


def cell(world: matrix.World, connector: str, point: str) -> matrix.Cell:
    [column] = [one for one in matrix.columns(world) if one.name == connector]
    return matrix.run(world, column, point)


def whole(cell: matrix.Cell) -> bool:
    assert cell.reached, "the bus never came to that point: the cell proves nothing"
    assert cell.messages == sides.MESSAGES
    return (cell.lost, cell.doubled) == (0, 0)


@pytest.mark.feature("BUS-02")
def test_a_crash_after_commit_and_before_the_answer_does_not_register_twice(world) -> None:
    assert whole(cell(world, "soap", "http.accepted"))


@pytest.mark.feature("BUS-02")
def test_a_crash_after_the_handler_and_before_its_commit_does_not_register_twice(world) -> None:
    assert whole(cell(world, "folder", "handle.settled"))


@pytest.mark.feature("BUS-02")
def test_a_crash_after_the_partner_took_a_file_and_before_we_noted_it_does_not_send_twice(world) -> None:
    assert whole(cell(world, "folder", "files.published"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.feature("BUS-02")
@pytest.mark.feature("BUS-03")
@pytest.mark.parametrize("connector", ["smev", "soap", "folder", "ftp"])
def test_a_crash_at_any_point_loses_nothing_and_doubles_nothing(world, connector) -> None:
    [column] = [one for one in matrix.columns(world) if one.name == connector]
    cells = [matrix.run(world, column, point) for point in column.points]
    assert [one for one in cells if not one.ok] == []


def test_every_declared_point_is_in_the_matrix_and_has_a_meaning(world) -> None:
    shown = {point for column in matrix.columns(world) for point in column.points}
    declared = {
        name for name in matrix.meanings() if name.partition(".")[0] in ("accept", "handle", "send", "http", "files")
    }
    assert shown == declared


def test_a_lost_message_and_a_doubled_one_show_in_the_table() -> None:
    column = matrix.Column("x", "Икс", ("accept.committed", "accept.received"), side=None)  # type: ignore[arg-type]
    cells = [matrix.Cell("accept.committed", "x", 6, True, 1, 2), matrix.Cell("accept.received", "x", 6, False, 0, 0)]
    text = matrix.table(cells, [column])
    assert "| 1 / 2 |" in text
    assert "не достигнута" in text
    assert not any(one.ok for one in cells)
