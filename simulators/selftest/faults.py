"""Everything that may break, by kind: whoever wants all faults takes `FAULTS` from here."""

from __future__ import annotations

from simulators.selftest import broker_faults, network_faults, process_faults, server_faults, traffic_faults
from simulators.selftest.fault import FAULTS, Fault, Nothing

__all__ = ["FAULTS", "GROUPS", "Fault", "Nothing"]

GROUPS = (process_faults, server_faults, broker_faults, network_faults, traffic_faults)
"""The modules that fill FAULTS."""
