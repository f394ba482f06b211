"""What several tests share: helpers, rigs and ways to compare."""
