"""The outside world on loopback: Google sign-in, Gmail and an SMTP sink, with a control plane and a console.

A program of its own (`python -m sandbox`). The portal never imports it; base URLs are all that ties the two.
"""
