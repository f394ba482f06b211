"""Time, memory and use of a selection beside facility location and graph cut."""
