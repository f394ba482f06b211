"""How selections are compared: plans, trials, recipes of training, results, and the report."""
