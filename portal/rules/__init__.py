"""The behaviour rules as pure functions: facts in, decisions out. No clock, no I/O, no library, no framework."""
