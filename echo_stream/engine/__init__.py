"""The engine: samples in, snapshots out, and what happens to its sketch over time."""
