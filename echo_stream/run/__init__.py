"""The loop of a run: from a source through the engine to checkpoints, snapshots and trainings."""
