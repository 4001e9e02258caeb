"""Bulk mail: who gets it, what it says, how far it is, and who wants none."""
