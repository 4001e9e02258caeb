"""The outside world on loopback: Google and Microsoft sign-in, Gmail, Graph mail and a mail server, with a console.

A program of its own (`python -m sandbox`). The portal never imports it; base URLs are all that ties the two.
"""
