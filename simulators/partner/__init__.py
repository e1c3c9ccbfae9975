"""A partner's HTTP service that counts what reached it: arrivals, and effects by Idempotency-Key."""
