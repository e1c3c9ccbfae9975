"""The hash chain over the journal and the audit: what was written cannot be changed unseen.

    rows.py         the canonical text of a row and its leaf       merkle.py   the tree of a block
    blocks.py       blocks, their hashes and links                 heads.py    ends of the chain kept elsewhere
    sealing.py      the sealer, a part of the leading process      verifying.py, background.py   the check
    recording.py    checks that were made, for people

The format is in docs/evidence.md: anybody can write a checker from it.
"""
