"""The far side of СМЭВ 3 for acceptance, training and tests: `omsbus simulator smev`.

Promises: the three versions of the exchange service at three paths, real GOST signatures both ways, queues
that forget nothing over a restart (PostgreSQL schema `sim_smev`), the real shapes of faults, scripted
participants, and a control API that arms failures and tells what was really sent and acknowledged.

It shares nothing with connectors/smev3 but `core.xml` and `core.signatures`: the envelopes come from the
templates of this folder, so the two sides cannot be wrong together.
"""
