"""Kafka: clients, topics as a source, offsets, and samples sent to a topic."""
