"""The console: pages for people under `/`."""
