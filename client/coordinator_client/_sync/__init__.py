# Generated from coordinator_client/_async/__init__.py by scripts/unasync.py; edit that file instead.
"""One face of the client; written once in its waiting form, and generated in its blocking form."""
