"""What the commands do: consume, build, label, forget."""
