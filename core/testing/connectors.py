"""The contract of connectors: one suite, one harness a connector, the same rules for all.

A connector's test is five lines and a harness that knows its far side:

    class TestSmev(ConnectorContract):
        @pytest.fixture
        def harness(self): ...yield SmevHarness(...)

Each rule is a plain function of a harness, so that the suite itself can be tested: planted defects must be caught
by the rule that names them and by no other (tests/core/testing). A rule that a far side cannot be asked for is
listed in `Harness.exceptions` with the reason, and is shown as skipped with it.
"""

from __future__ import annotations

import contextlib
import io
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import pytest

from core.connector import Connector, Delivery, Receipt, Sink, Source
from core.errors import BusError, ConfigError, Permanent, Retryable, Unavailable
from core.message import Message
from core.testing.harness import Harness, Offered
from core.testing.watching import overheard, watched

__all__ = ["RULES", "ConnectorContract", "Harness", "Offered", "Rule"]

Rule = Callable[[Harness], None]
RULES: Final[dict[str, Rule]] = {}
"""Rule name → the rule, in the order in which they are run."""


def _rule(function: Rule) -> Rule:
    RULES[function.__name__] = function
    return function


# --- the rules -------------------------------------------------------------------------------------------------


@_rule
def construction_does_no_io(harness: Harness) -> None:
    """Building a connector opens no file, no socket and talks to nobody."""
    harness.connector().close()  # imports happen here
    before = harness.contacts()
    with watched() as touched:
        connector = harness.connector()
        _ = list(connector.sources), list(connector.sinks), repr(connector)
    connector.close()
    assert not touched, f"при создании коннектора был ввод-вывод: {touched}"
    assert harness.contacts() == before, "при создании коннектор обратился к другой стороне"


@_rule
def names_agree(harness: Harness) -> None:
    """Sources are `<connector>.<something>`; a message's source is the connector, so that polls share their repeats."""
    with _opened(harness) as connector:
        for name in connector.sources:
            assert name.startswith(connector.name + "."), f"источник {name} назван не по коннектору {connector.name}"
        if harness.source:
            offered = harness.offer()
            delivery = _receive_one(harness, connector)
            assert delivery.message.source == connector.name, "message.source — не имя коннектора"
            assert delivery.message.external_id == offered.external_id, "внешний идентификатор не тот"
            assert delivery.message.queue == "", "очередь назначает шина, а не источник"


@_rule
def check_tells_the_truth_when_all_is_well(harness: Harness) -> None:
    """`check` answers with a Russian sentence."""
    with _opened(harness) as connector:
        said = connector.check()
    assert re.search("[а-яё]", said, re.IGNORECASE), f"check() должен ответить по-русски: {said!r}"


@_rule
def check_fails_when_the_far_side_is_away(harness: Harness) -> None:
    """`check` of an absent far side raises a BusError; a cheerful sentence is a lie."""
    with _opened(harness) as connector:
        harness.break_down()
        try:
            said = connector.check()
        except BusError as error:
            _russian(error)
        else:
            raise AssertionError(f"другая сторона недоступна, а check() говорит: {said!r}")
        finally:
            harness.restore()


@_rule
def check_moves_no_message(harness: Harness) -> None:
    """What waits at the far side before `check` waits there after it; nothing is sent."""
    with _opened(harness) as connector:
        if harness.source:
            offered = harness.offer()
        connector.check()
        if harness.source:
            delivery = _receive_one(harness, connector)
            assert delivery.message.external_id == offered.external_id, "check() забрал сообщение"


@_rule
def what_comes_in_is_untouched(harness: Harness) -> None:
    """Octets are the far side's own."""
    _needs(harness.source)
    with _opened(harness) as connector:
        offered = harness.offer()
        delivery = _receive_one(harness, connector)
        assert delivery.problem is None, f"хорошее сообщение пришло с претензией: {delivery.problem}"
        assert harness.intact(delivery.message, offered), "байты сообщения изменились по дороге"


@_rule
def what_goes_out_is_untouched(harness: Harness) -> None:
    """The far side gets the message's octets, and a receipt with a Russian note comes back."""
    _needs(harness.sink)
    with _opened(harness) as connector:
        message = harness.outgoing()
        receipt = _send(harness, connector, message)
        assert re.search("[а-яё]", receipt.note, re.IGNORECASE), "Receipt.note должен быть по-русски"
        assert harness.arrived(message) == 1, "другая сторона получила не те байты"


@_rule
def unacknowledged_comes_again(harness: Harness) -> None:
    """Not acked: it comes again, under the same external id and with the same digest."""
    _needs(harness.source)
    with _opened(harness) as connector:
        offered = harness.offer()
        first = _receive_one(harness, connector)
        harness.time_passes()
        second = _receive_one(harness, connector)
        assert first.message.external_id == second.message.external_id == offered.external_id, (
            "повтор пришёл под другим идентификатором: он будет обработан дважды"
        )
        assert first.message.digest() == second.message.digest(), "повтор выглядит как другое содержимое"


@_rule
def unacknowledged_survives_reopening(harness: Harness) -> None:
    """A crash between `receive` and `ack` loses nothing: a new instance gets the message."""
    _needs(harness.source)
    with _opened(harness) as connector:
        offered = harness.offer()
        _receive_one(harness, connector)
    harness.time_passes()
    with _opened(harness) as connector:
        assert _receive_one(harness, connector).message.external_id == offered.external_id


@_rule
def acknowledged_does_not_come_again(harness: Harness) -> None:
    """Acked: the far side lets go of it."""
    _needs(harness.source)
    with _opened(harness) as connector:
        harness.offer()
        _receive_one(harness, connector).ack()
        harness.time_passes()
        assert not _receive(harness, connector), "подтверждённое сообщение пришло снова"


@_rule
def ack_is_idempotent(harness: Harness) -> None:
    """A second ack, and the ack of a repeat that was acked already, are no errors."""
    _needs(harness.source)
    with _opened(harness) as connector:
        harness.offer()
        first = _receive_one(harness, connector)
        harness.time_passes()
        second = _receive_one(harness, connector)
        first.ack()
        first.ack()
        second.ack()
        harness.time_passes()
        assert not _receive(harness, connector), "подтверждённое сообщение пришло снова"


@_rule
def rejected_does_not_come_again(harness: Harness) -> None:
    """`reject` tells the far side that we hold the message; twice is no error."""
    _needs(harness.source)
    with _opened(harness) as connector:
        harness.offer()
        delivery = _receive_one(harness, connector)
        delivery.reject(Permanent("Отклонено проверкой договора"))
        delivery.reject(Permanent("Отклонено проверкой договора"))
        harness.time_passes()
        assert not _receive(harness, connector), "отклонённое сообщение пришло снова"


@_rule
def a_bad_message_is_kept_with_its_reason(harness: Harness) -> None:
    """What must not be handled comes as a delivery with a problem and all its octets, and can be rejected."""
    _needs(harness.source)
    with _opened(harness) as connector:
        harness.offer_bad()
        first = _receive_one(harness, connector)
        harness.time_passes()
        delivery = _receive_one(harness, connector)
        assert delivery.problem is not None, "плохое сообщение пришло как хорошее"
        _russian(delivery.problem)
        kept = delivery.message.received or delivery.message.body
        assert kept, "байты плохого сообщения потеряны"
        assert delivery.message.external_id == first.message.external_id, "повтор пришёл под другим идентификатором"
        assert delivery.message.digest() == first.message.digest(), "повтор выглядит как другое содержимое"
        delivery.reject(delivery.problem)
        harness.time_passes()
        assert not _receive(harness, connector), "отклонённое плохое сообщение пришло снова"


@_rule
def receiving_recovers_after_an_outage(harness: Harness) -> None:
    """Away → Unavailable; back and opened again → the message comes."""
    _needs(harness.source)
    with _opened(harness) as connector:
        offered = harness.offer()
        harness.break_down()
        _unavailable(lambda: _source(harness, connector).receive())
        harness.restore()
        connector.open()
        assert _receive_one(harness, connector).message.external_id == offered.external_id


@_rule
def sending_recovers_after_an_outage(harness: Harness) -> None:
    """Away → Unavailable; back and opened again → the same prepared octets arrive, once."""
    _needs(harness.sink)
    with _opened(harness) as connector:
        message = harness.outgoing()
        sink = _sink(harness, connector)
        prepared = sink.prepare(message)
        harness.break_down()
        _unavailable(lambda: sink.send(message, prepared, repeated=False))
        harness.restore()
        connector.open()
        sink = _sink(harness, connector)
        sink.send(message, prepared, repeated=True)
        assert harness.arrived(message) == 1


@_rule
def prepare_talks_to_nobody(harness: Harness) -> None:
    """`prepare` makes id and octets without the far side, and a new id every time."""
    _needs(harness.sink)
    with _opened(harness) as connector:
        before = harness.contacts()
        first = _sink(harness, connector).prepare(harness.outgoing())
        second = _sink(harness, connector).prepare(harness.outgoing())
        assert harness.contacts() == before, "prepare() обратился к другой стороне"
        assert first.external_id, "prepare() не дал идентификатора"
        assert first.external_id != second.external_id, "два сообщения получили один идентификатор"


@_rule
def a_repeated_send_takes_effect_once(harness: Harness) -> None:
    """The answer was lost, the bus repeats: the far side recognises it, and that is success."""
    _needs(harness.sink)
    with _opened(harness) as connector:
        message = harness.outgoing()
        sink = _sink(harness, connector)
        prepared = sink.prepare(message)
        sink.send(message, prepared, repeated=False)
        receipt = sink.send(message, prepared, repeated=True)
        assert isinstance(receipt, Receipt)
        assert harness.arrived(message) == 1, "повторная отправка подействовала дважды"


@_rule
def open_and_close_are_idempotent(harness: Harness) -> None:
    """Opened twice, closed twice, opened again: it works."""
    connector = harness.connector()
    try:
        connector.open()
        connector.open()
        connector.close()
        connector.close()
        connector.open()
        connector.check()
    finally:
        connector.close()


@_rule
def only_bus_errors_leak(harness: Harness) -> None:
    """Whatever the far side answers, `receive` and `send` raise what their contract names and nothing else."""
    with _opened(harness) as connector:
        for name, misbehave in harness.misbehaviours().items():
            if harness.source:
                harness.offer()
                misbehave()
                try:
                    for delivery in _source(harness, connector).receive():
                        assert delivery.message.external_id
                except (Retryable, ConfigError) as error:
                    _russian(error)
                except Exception as error:
                    raise AssertionError(f"receive при «{name}»: наружу вышло {error!r}") from error
            if harness.sink:
                message = harness.outgoing()
                prepared = _sink(harness, connector).prepare(message)
                misbehave()
                try:
                    _sink(harness, connector).send(message, prepared, repeated=False)
                except BusError as error:
                    _russian(error)
                except Exception as error:
                    raise AssertionError(f"send при «{name}»: наружу вышло {error!r}") from error


@_rule
def an_unfit_message_is_refused(harness: Harness) -> None:
    """`prepare` refuses what cannot be sent with Permanent (or ConfigError), before anything leaves."""
    _needs(harness.sink)
    with _opened(harness) as connector:
        for message in harness.unfit():
            try:
                _sink(harness, connector).prepare(message)
            except (Permanent, ConfigError) as error:
                _russian(error)
            except Exception as error:
                raise AssertionError(f"prepare негодного сообщения: наружу вышло {error!r}") from error
            else:
                raise AssertionError("prepare принял негодное сообщение")


@_rule
def no_secret_is_shown(harness: Harness) -> None:
    """Logs, printed text, representations, errors and headers hold no secret, in good days and in an outage."""
    seen = io.StringIO()
    with overheard(seen), _opened(harness) as connector:
        print(repr(connector), getattr(connector, "settings", ""), connector.check(), file=seen)
        if harness.source:
            harness.offer()
            delivery = _receive_one(harness, connector)
            print(repr(_source(harness, connector)), repr(delivery), dict(delivery.message.headers), file=seen)
            delivery.ack()
        if harness.sink:
            message = harness.outgoing()
            sink = _sink(harness, connector)
            prepared = sink.prepare(message)
            receipt = sink.send(message, prepared, repeated=False)
            print(repr(sink), dict(prepared.headers), receipt.note, dict(receipt.headers), file=seen)
        harness.break_down()
        try:
            connector.check()
        except BusError as error:
            print(repr(error), error.detail, "".join(traceback.format_exception(error)), file=seen)
        finally:
            harness.restore()
    text = seen.getvalue()
    for secret in harness.secrets:
        assert secret not in text, "секрет виден в журнале, в repr или в тексте ошибки"


# --- what the rules use ----------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(harness: Harness) -> Iterator[Connector]:
    connector = harness.connector()
    connector.open()
    try:
        yield connector
    finally:
        connector.close()


def _needs(side: str) -> None:
    if not side:
        pytest.skip("у коннектора нет этой стороны")


def _source(harness: Harness, connector: Connector) -> Source:
    assert harness.source in connector.sources, f"нет источника {harness.source}"
    return connector.sources[harness.source]


def _sink(harness: Harness, connector: Connector) -> Sink:
    assert harness.sink in connector.sinks, f"нет приёмника {harness.sink}"
    return connector.sinks[harness.sink]


def _receive(harness: Harness, connector: Connector) -> Sequence[Delivery]:
    for _ in range(max(1, harness.patience)):
        deliveries = _source(harness, connector).receive()
        if deliveries:
            return deliveries
    return []


def _receive_one(harness: Harness, connector: Connector) -> Delivery:
    deliveries = _receive(harness, connector)
    assert len(deliveries) == 1, f"ожидалось одно сообщение, пришло {len(deliveries)}"
    return deliveries[0]


def _send(harness: Harness, connector: Connector, message: Message) -> Receipt:
    sink = _sink(harness, connector)
    return sink.send(message, sink.prepare(message), repeated=False)


def _unavailable(call: Callable[[], object]) -> None:
    try:
        call()
    except Unavailable as error:
        _russian(error)
    except Exception as error:
        raise AssertionError(f"другая сторона недоступна: нужен Unavailable, вышло {error!r}") from error
    else:
        raise AssertionError("другая сторона недоступна, а вызов удался")


def _russian(error: BusError) -> None:
    assert re.search("[а-яё]{3}", error.reason, re.IGNORECASE), f"причина должна быть по-русски: {error.reason!r}"


class ConnectorContract:
    """Subclass it in a connector's tests and give it a fixture `harness`."""

    @pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
    def test_contract(self, rule: Rule, harness: Harness) -> None:
        """Run one rule, or skip it with the harness's reason."""
        unknown = set(harness.exceptions) - set(RULES)
        assert not unknown, f"исключения для несуществующих правил: {sorted(unknown)}"
        reason = harness.exceptions.get(rule.__name__)
        if reason is not None:
            assert reason.strip(), f"исключение {rule.__name__} без причины"
            pytest.skip(reason)
        rule(harness)
