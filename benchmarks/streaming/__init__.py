"""What one pass is worth: beside the choice from all samples at once, and as a stream drifts."""
