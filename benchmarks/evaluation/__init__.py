"""How selections are compared: plans, trials, recipes of training, and results."""
