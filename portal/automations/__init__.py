"""Automations: workflow mail, which leaves by itself through the account's own mail server (S-02)."""
