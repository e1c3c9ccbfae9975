"""Business documents of invented people, for the demo, the simulator's providers, tests and benches.

Seeded: the same arguments give the same bytes. Knows nothing of the bus; each module is one far side:

    people   invented persons           zags   notifications about births and deaths
    fns      news of ЕГРЮЛ              sfr    the answer to our question about a СНИЛС
    ffoms    a citizen's question about rendered services
"""
