"""Trial run: the last real messages of a kind through a new schema or transformer beside the present one.

Nothing is written but one row of the audit. What was uploaded is a stranger's program: it runs in a child process
without files, network and patience (`core.trial.child`).
"""
