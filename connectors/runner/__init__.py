"""What surrounds the loop of a run: status, counters and how a run is watched."""
