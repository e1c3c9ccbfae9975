"""The published contract: zeep loads it, and what the simulator says fits the schemas of others."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

import pytest
import zeep
from lxml import etree

from simulators.smev3 import contract
from simulators.smev3.control import SimulatorControl
from simulators.smev3.versions import VERSIONS

pytestmark = pytest.mark.feature("SMEV-13")

EGRUL = "urn://x-artefacts-fns-nsvuidat/root/311-31/4.0.0"


@pytest.mark.parametrize("version", VERSIONS)
def test_zeep_loads_the_description_and_finds_every_operation(base_url, version):
    client = zeep.Client(f"{base_url}/smev/v{version}/ws?wsdl")
    [port] = client.wsdl.services["SMEVMessageExchangeService"].ports.values()
    operations = port.binding._operations
    assert set(operations) == set(VERSIONS[version].operations)
    assert operations["Ack"].soapaction == "urn:Ack"
    assert port.binding_options["address"] == f"{base_url}/smev/v{version}/ws"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_part_of_the_contract_is_a_valid_schema(base_url, version):
    for name in contract.schema_names(VERSIONS[version]):
        parser = etree.XMLParser()
        parser.resolvers.add(contract._Imports(VERSIONS[version]))
        etree.XMLSchema(etree.fromstring(contract.schema(VERSIONS[version], name).encode(), parser, base_url="ws"))


def test_an_unknown_part_of_the_contract_is_not_found(base_url):
    parts = urlsplit(base_url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    connection.request("GET", "/smev/v1.2/ws?xsd=routing")
    assert connection.getresponse().status == 404
    connection.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_our_schemas_accept_and_refuse_what_the_published_ones_do(shared_schemas, version):
    """The same probes through both: our own text of the contract is neither looser nor stricter on them."""
    theirs = _published(shared_schemas, version)
    v = VERSIONS[version]
    probes = _probes(v)
    for name, text in probes.items():
        element = etree.fromstring(text)
        assert (contract.check_envelope(v, element) == ()) == theirs.validate(element), (name, theirs.error_log)
    assert {theirs.validate(etree.fromstring(text)) for text in probes.values()} == {True, False}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_envelope_of_the_simulator_fits_the_published_schemas(
    start, shared_schemas, make_caller, question, snils_answer, version
):
    url = start({"scripts": []}, validation_delay_s=0.0)
    control = SimulatorControl(url)
    fund, sfr, epgu = (make_caller(name, version, url=url) for name in ("fund", "sfr", "epgu"))
    _exchange(control, fund, sfr, epgu, question, snils_answer, version)
    published = _published(shared_schemas, version)
    seen = set()
    for one in control.envelopes():
        if one["direction"] == "in":
            continue  # some of ours are wrong on purpose
        body = etree.fromstring(one["body"]).find("{*}Body")[0]
        name = etree.QName(body).localname
        if name == "Fault":
            body = body.find("detail")[0]
        _put_base64_back(body)
        assert published.validate(body), (etree.tostring(body, encoding="unicode"), published.error_log)
        seen.add(name)
    assert {f"{one}Response" for one in VERSIONS[version].operations} | {"Fault"} <= seen


def _exchange(control, fund, sfr, epgu, question, snils_answer, version):
    """A little of everything: answers, refusals, statuses, attachments, faults."""
    fund.send_request(question(), before="<t:TransactionCode>1</t:TransactionCode>")
    received = sfr.receive()
    to = received.text("ReplyTo")
    sfr.ack(received.text("MessageID"))
    rejected = (
        "<t:RequestRejected><t:RejectionReasonCode>NO_DATA</t:RejectionReasonCode>"
        "<t:RejectionReasonDescription>Нет</t:RejectionReasonDescription></t:RequestRejected>"
    )
    status = (
        "<t:RequestStatus><t:StatusCode>1</t:StatusCode><t:StatusDescription>В работе</t:StatusDescription>"
        "</t:RequestStatus>"
    )
    for content in (status, rejected):
        sfr.call("SendResponse", sfr.response_data(to, content))
        fund.receive("GetResponse")
    sfr.send_response(to, snils_answer)
    fund.receive("GetResponse")
    bad = '<s:SnilsByAdditionalDataResponse xmlns:s="http://kvs.pfr.com/snils-by-additionalData/1.0.1"/>'
    sfr.send_response(to, bad)
    while sfr.get_status().is_empty:
        pass
    fund.send_request(question("Smith"))
    fund.receive("GetResponse")
    attachment = {"content_id": "a1", "mime_type": "text/plain", "body": "eHl6"}
    reference = {"uuid": "u-1", "hash": "aGFzaA==", "mime_type": "application/zip", "file_name": "f.zip"}
    payload = f'<N xmlns="{EGRUL}"/>'.encode()
    control.send("FNS001", payload, version=version, attachments=[attachment], refs=[reference])
    control.play("zags.birth", 1, version=version, records=2)
    control.play("zags.death", 1, version=version)
    control.play("ffoms.services", 1, version=version)
    for _ in range(4):
        fund.receive()
    fund.get_request()
    fund.get_response()
    fund.ack(fund.new_id())
    fund.send_request(question(), fund.new_id()[:-1] + "Z")
    fund.send_request('<q:Q xmlns:q="urn:q"/>')
    fund.send_request(question(), before="<t:EOL>2001-01-01T00:00:00Z</t:EOL>")
    fund.send_request(question(), after="<t:NodeID>no</t:NodeID>")
    epgu.send_request(question())
    for name in contract.faults_of(VERSIONS[version])["SendRequest"]:
        control.arm("fault", count=1, params={"name": name})
        assert fund.send_request(question()).fault == name
    if version == "1.1":
        fund.call("GetIncomingQueueStatistics", f'<b:Timestamp Id="SIGNED_BY_CALLER">{fund.now()}</b:Timestamp>')


def _put_base64_back(body):
    """XOP is a way to write base64: the schema speaks of the base64 (XOP §3)."""
    for include in list(body.iter("{http://www.w3.org/2004/08/xop/include}Include")):
        holder = include.getparent()
        holder.remove(include)
        holder.text = "eHl6"


def _published(folder, version):
    """Types and faults together, as the WSDL imports them: a status names its fault by xsi:type."""
    imports = "".join(
        f'<xs:import namespace="{getattr(VERSIONS[version], name)}" '
        f'schemaLocation="smev-message-exchange-{name}-{version}.xsd"/>'
        for name in ("types", "faults")
    )
    text = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>'
    return etree.XMLSchema(etree.fromstring(text, base_url=f"{folder / version}/all.xsd"))


def _probes(v):
    """Small bodies, right and wrong, around the differences of the versions."""
    spaces = f'xmlns:t="{v.types}" xmlns:b="{v.basic}" xmlns:r="{v.routing}"'
    number = "39f52a38-9a54-11ea-b23a-3316e2108089"
    content = '<b:MessagePrimaryContent><q xmlns="urn:q"/></b:MessagePrimaryContent>'
    data = f"<t:SenderProvidedRequestData Id='I'><t:MessageID>{number}</t:MessageID>{{}}</t:SenderProvidedRequestData>"
    header = (
        "<b:AttachmentHeaderList><b:AttachmentHeader><b:contentId>1</b:contentId>{}</b:AttachmentHeader>"
        "</b:AttachmentHeaderList>"
    )
    mime = "<b:MimeType>text/plain</b:MimeType>"

    def send(inside, after=""):
        return f"<t:SendRequestRequest {spaces}>{data.format(inside)}{after}</t:SendRequestRequest>"

    def metadata(party, tail=""):
        return (
            f"<t:SendRequestResponse {spaces}><t:MessageMetadata><t:MessageId>{number}</t:MessageId>"
            f"<t:MessageType>REQUEST</t:MessageType><t:Sender>{party}</t:Sender>"
            f"<t:SendingTimestamp>2020-05-20T07:52:37+03:00</t:SendingTimestamp>{tail}"
            "<t:Status>requestIsQueued</t:Status></t:MessageMetadata></t:SendRequestResponse>"
        )

    def ack(attributes):
        return f"<t:AckRequest {spaces}><b:AckTargetMessage {attributes}>{number}</b:AckTargetMessage></t:AckRequest>"

    def status(value):
        return (
            f"<t:GetStatusResponse {spaces}><t:SmevAsyncProcessingMessage><t:AsyncProcessingStatusData>"
            f"<t:AsyncProcessingStatus><t:OriginalMessageId>{number}</t:OriginalMessageId><t:StatusCategory>{value}"
            "</t:StatusCategory></t:AsyncProcessingStatus></t:AsyncProcessingStatusData></t:SmevAsyncProcessingMessage>"
            "</t:GetStatusResponse>"
        )

    short = "<t:Mnemonic>A</t:Mnemonic>"
    full = short + "<t:HumanReadableName>Б</t:HumanReadableName>"
    old = (
        "<t:DestinationName>unknown</t:DestinationName><t:SupplementaryData><t:InteractionType>other"
        "</t:InteractionType></t:SupplementaryData>"
    )
    routing = (
        f"<r:Routing><r:RoutingInformation Id='R'><r:MessageID>{number}</r:MessageID><r:IdentifierRouting>"
        "<r:IdentifierValue>1</r:IdentifierValue></r:IdentifierRouting></r:RoutingInformation><r:RoutingSignature>"
        '<s:Signature xmlns:s="http://www.w3.org/2000/09/xmldsig#"/></r:RoutingSignature></r:Routing>'
    )
    probes = {
        "plain": send(content), "no content": send(""),
        "payload of our namespace": send(content.replace("urn:q", v.basic)),
        "long transaction code": send(f"<t:TransactionCode>{'x' * 1501}</t:TransactionCode>{content}"),
        "order": send(f"{content}<t:NodeID>1</t:NodeID>"), "test message": send(f"{content}<t:TestMessage/>"),
        "routing": send(content, routing), "header": send(content + header.format(mime)),
        "header with namespace": send(content + header.format("<b:NamespaceUri>u</b:NamespaceUri>" + mime)),
        "bad mime": send(content + header.format("<b:MimeType>weird/x</b:MimeType>")),
        "metadata short": metadata(short), "metadata full": metadata(full), "metadata old": metadata(full, old),
        "ack": ack("Id='I' accepted='true'"), "ack without verdict": ack("Id='I'"),
        "ack without id": ack("accepted='1'"),
        "statistics": f"<t:GetIncomingQueueStatisticsResponse {spaces}/>", "empty": f"<t:GetRequestResponse {spaces}/>",
        "ack answer": f"<t:AckResponse {spaces}/>",
        "status unsigned": f"<t:GetStatusRequest {spaces}><b:Timestamp>2020-05-20T07:52:37Z</b:Timestamp>"
        "</t:GetStatusRequest>",
    }  # fmt: skip
    every = {value for values in contract.STATUSES.values() for value in values} | {"teleported"}
    return probes | {value: status(value) for value in sorted(every)}
