"""What reaches into kafka-python: private names, with the version pinned in pyproject.toml."""
