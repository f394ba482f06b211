"""What depends on private names of kafka-python, whose exact version pyproject.toml pins.

`tests/connectors/kafka/client_patches/test_private_names.py` lists these names. No other module
uses any.
"""
