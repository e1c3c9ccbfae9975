"""The connector as a whole: opening, checking, keys, statistics, and what it never shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.smev3 import messages as header
from connectors.smev3.connector import connect
from core.errors import ConfigError, Permanent, Retryable, Unavailable
from core.signatures import xmldsig

SNILS = b'<s:R xmlns:s="urn://demo/s"/>'


def signer(smev):
    envelope = smev.sinks["smev"].prepare(header.request(SNILS, kind="k")).body
    (verified,) = xmldsig.verify_all(envelope)
    return verified.certificate


def test_sources_and_the_sink_are_named_after_the_instance(settings_of) -> None:
    other = connect("smev-test", settings_of())
    assert list(other.sources) == ["smev-test.requests", "smev-test.responses", "smev-test.status", "smev-test.depth"]
    assert list(other.sinks) == ["smev-test"]


def test_check_reaches_every_version_and_tells_how_long_the_certificate_lives(smev, far) -> None:
    said = smev.check()
    assert "1.1, 1.2, 1.3" in said
    assert "дн." in said
    assert {call.path for call in far.of("GET")} == {f"/smev/v{v}/ws?wsdl" for v in ("1.1", "1.2", "1.3")}


def test_check_warns_of_a_certificate_that_ends_soon(smev_with) -> None:
    assert "Пора получать новый" in smev_with(certificate_warning_days=100_000).check()


def test_check_says_so_when_nobody_answers(settings_of) -> None:
    with pytest.raises(Unavailable, match="проверьте адрес"):
        connect("smev", settings_of("http://127.0.0.1:9")).check()


@pytest.mark.parametrize("missing", ["key_file", "certificate_file", "trust_dir"])
def test_a_missing_file_is_named(smev_with, tmp_path, missing) -> None:
    smev = smev_with(**{missing: tmp_path / "нет-такого"})
    with pytest.raises(ConfigError, match="нет-такого"):
        smev.open()


def test_trust_in_everybody_is_refused(smev_with) -> None:
    with pytest.raises(ConfigError, match="operator_subject"):
        smev_with(operator_subject=[]).open()


def test_the_operator_may_be_pinned_by_a_file(smev_with, far, make, keys, tmp_path) -> None:
    (tmp_path / "pinned").mkdir()
    (tmp_path / "pinned" / "smev.pem").write_bytes(keys.certificate("smev").read_bytes())
    smev = smev_with(operator_subject=[], trust_dir=tmp_path, sender_trust_dir=keys.trust)
    far.prepare("GetRequest", make.request(), make.request(signer="zags"))
    source = smev.sources["smev.requests"]
    assert source.receive()[0].problem is None
    assert source.receive()[0].problem is not None


@pytest.mark.feature("SMEV-03")
def test_the_second_identity_takes_over_on_its_day(smev_with, keys) -> None:
    second = {"next_key_file": keys.key("epgu"), "next_certificate_file": keys.certificate("epgu")}
    now = datetime.now(UTC)
    first, next_ = keys.identity("fund").certificate, keys.identity("epgu").certificate
    assert signer(smev_with(**second)) == first
    assert signer(smev_with(**second, next_from=now + timedelta(days=1))) == first
    assert signer(smev_with(**second, next_from=now - timedelta(days=1))) == next_


@pytest.mark.feature("SMEV-03")
def test_an_expired_first_identity_is_replaced_by_the_second_or_stops_the_connector(smev_with, keys) -> None:
    expired = {"key_file": keys.key("expired"), "certificate_file": keys.certificate("expired")}
    second = {"next_key_file": keys.key("fund"), "next_certificate_file": keys.certificate("fund")}
    assert signer(smev_with(**expired, **second)) == keys.identity("fund").certificate
    with pytest.raises(ConfigError, match="истёк"):
        smev_with(**expired).open()


@pytest.mark.feature("BUS-13")
def test_days_left_are_told_of_each_certificate_that_signs_or_will(smev_with, keys, tmp_path) -> None:
    _fund, epgu, expired = (keys.certificate(name) for name in ("fund", "epgu", "expired"))
    second = {"next_key_file": keys.key("epgu"), "next_certificate_file": epgu}
    now = datetime.now(UTC)
    assert smev_with().certificate_days() == {"fund.pem": keys.identity("fund").certificate.days_left()}
    assert set(smev_with(**second, next_from=now + timedelta(days=1)).certificate_days()) == {"fund.pem", "epgu.pem"}
    assert set(smev_with(**second, next_from=now - timedelta(days=1)).certificate_days()) == {"epgu.pem"}
    assert set(smev_with(certificate_file=expired, **second).certificate_days()) == {"epgu.pem"}
    assert smev_with(certificate_file=expired).certificate_days()["expired.pem"] < 0
    with pytest.raises(ConfigError, match=r"gone\.pem"):
        smev_with(certificate_file=tmp_path / "gone.pem").certificate_days()


def test_the_password_may_lie_in_a_file(smev_with, keys) -> None:
    smev = smev_with(password_env="", password_file=keys.directory / "password")
    assert signer(smev) == keys.identity("fund").certificate


def test_opening_again_picks_up_a_replaced_key(smev_with, keys, tmp_path) -> None:
    key, certificate = tmp_path / "k", tmp_path / "c"
    key.write_bytes(keys.key("fund").read_bytes())
    certificate.write_bytes(keys.certificate("fund").read_bytes())
    smev = smev_with(key_file=key, certificate_file=certificate)
    before = signer(smev)
    key.write_bytes(keys.key("zags").read_bytes())
    certificate.write_bytes(keys.certificate("zags").read_bytes())
    assert signer(smev) == before
    smev.open()
    assert signer(smev) == keys.identity("zags").certificate


@pytest.mark.feature("SMEV-01")
def test_statistics_of_1_1_are_numbers_by_queue(smev, far, make) -> None:
    types = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.1"
    stats = '<t:QueueStatistics queueName="{}" pendingMessageNumber="{}"/>'
    far.prepare(
        "GetIncomingQueueStatistics",
        make.soap(
            f'<t:GetIncomingQueueStatisticsResponse xmlns:t="{types}">{stats.format("req", 5)}{stats.format("resp", 0)}'
            "</t:GetIncomingQueueStatisticsResponse>"
        ),
    )
    assert list(smev.sources["smev.depth"].receive()) == []
    assert smev.queue_statistics == {"req": 5, "resp": 0}


def test_statistics_without_1_1_or_with_nonsense_are_bus_errors(smev_with, smev, far, make) -> None:
    only = smev_with(endpoints={"1.2": far.url}, polls=[])
    with pytest.raises(ConfigError, match=r"1\.1"):
        only.statistics()
    types = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.1"
    bad = '<t:QueueStatistics queueName="q" pendingMessageNumber="many"/>'
    far.prepare(
        "GetIncomingQueueStatistics",
        make.soap(
            f'<t:GetIncomingQueueStatisticsResponse xmlns:t="{types}">{bad}</t:GetIncomingQueueStatisticsResponse>'
        ),
    )
    with pytest.raises(Retryable, match="не число"):
        smev.statistics()


def test_own_signatures_are_checked_before_the_first_messages_leave(smev_with, monkeypatch) -> None:
    smev = smev_with(verify_outgoing_first=2)
    message = header.request(SNILS, kind="k")
    sink = smev.sinks["smev"]
    smev.open()
    genuine = xmldsig.sign

    def spoiled(*args, **kwargs):
        return genuine(*args, **kwargs).replace(b"<ds:DigestValue>", b"<ds:DigestValue>AAAA", 1)

    monkeypatch.setattr(xmldsig, "sign", spoiled)
    for _ in range(2):
        with pytest.raises(Permanent, match="Собственная подпись"):
            sink.prepare(message)
    assert sink.prepare(message).body, "дальше проверки нет: она стоит времени"


def test_representations_hold_no_key_and_no_password(smev, keys) -> None:
    smev.open()
    session = smev._opened()
    text = " ".join(map(repr, (smev, session, smev.settings, session.identities, *smev.sources.values())))
    assert keys.password not in text
    assert "BEGIN" not in text
