"""The audit trail: a registry of events and the one way to record them."""
