"""The hash chain over the journal and the audit, and the evidence package of a message."""
