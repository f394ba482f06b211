"""Consumer groups: several processes that share topics and a state."""
