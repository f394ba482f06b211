"""Look into states and snapshots: SQL, explanations, exports, pictures, checks."""
