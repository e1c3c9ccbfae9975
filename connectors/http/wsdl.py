"""The WSDL of a queue: one document/literal operation `Submit`, for SOAP 1.1 and 1.2 (WS-I Basic Profile 1.1).

`Submit` holds any XML. The queue takes any other document in the Body as well; a description can promise one only.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import quoteattr

from connectors.http.soap import INTAKE

_BINDINGS: Final = (
    ("11", "soap", "http://schemas.xmlsoap.org/wsdl/soap/"),
    ("12", "soap12", "http://schemas.xmlsoap.org/wsdl/soap12/"),
)

_TYPES: Final = """  <w:types>
    <x:schema targetNamespace="{space}" elementFormDefault="qualified">
      <x:element name="Submit">
        <x:complexType>
          <x:sequence><x:any minOccurs="0" maxOccurs="unbounded" processContents="skip"/></x:sequence>
        </x:complexType>
      </x:element>
      <x:element name="Accepted">
        <x:complexType>
          <x:attribute name="messageId" type="x:string" use="required"/>
          <x:attribute name="repeated" type="x:boolean" use="required"/>
        </x:complexType>
      </x:element>
      <x:element name="IntakeFault">
        <x:complexType>
          <x:simpleContent>
            <x:extension base="x:string"><x:attribute name="code" type="x:string" use="required"/></x:extension>
          </x:simpleContent>
        </x:complexType>
      </x:element>
    </x:schema>
  </w:types>
  <w:message name="Submit"><w:part name="parameters" element="t:Submit"/></w:message>
  <w:message name="Accepted"><w:part name="result" element="t:Accepted"/></w:message>
  <w:message name="IntakeFault"><w:part name="fault" element="t:IntakeFault"/></w:message>
  <w:portType name="Intake">
    <w:operation name="Submit">
      <w:input message="t:Submit"/>
      <w:output message="t:Accepted"/>
      <w:fault name="IntakeFault" message="t:IntakeFault"/>
    </w:operation>
  </w:portType>
"""

_BINDING: Final = """  <w:binding name="Intake{number}" type="t:Intake">
    <{prefix}:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>
    <w:operation name="Submit">
      <{prefix}:operation soapAction="{space}:Submit" style="document"/>
      <w:input><{prefix}:body use="literal"/></w:input>
      <w:output><{prefix}:body use="literal"/></w:output>
      <w:fault name="IntakeFault"><{prefix}:fault name="IntakeFault" use="literal"/></w:fault>
    </w:operation>
  </w:binding>
"""


def of_queue(queue: str, address: str) -> bytes:
    """The description of one queue that is posted to at `address`."""
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<w:definitions xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:x="http://www.w3.org/2001/XMLSchema"'
        f' xmlns:t="{INTAKE}" targetNamespace="{INTAKE}" name={quoteattr(queue)}',
        *(f' xmlns:{prefix}="{namespace}"' for _, prefix, namespace in _BINDINGS),
        ">\n",
        _TYPES.format(space=INTAKE),
        *(_BINDING.format(number=number, prefix=prefix, space=INTAKE) for number, prefix, _ in _BINDINGS),
        '  <w:service name="Intake">\n',
        *(
            f'    <w:port name="Intake{number}" binding="t:Intake{number}">'
            f"<{prefix}:address location={quoteattr(address)}/></w:port>\n"
            for number, prefix, _ in _BINDINGS
        ),
        "  </w:service>\n</w:definitions>\n",
    ]
    return "".join(parts).encode()
