"""Notices from providers: verify, remember, enqueue, answer. What a notice says is only a hint; the truth is fetched."""
