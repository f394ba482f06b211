"""How fast the engine, queries, HTTP and Kafka are, and what they take."""
