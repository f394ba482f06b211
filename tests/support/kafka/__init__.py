"""Kafka brokers for tests."""
