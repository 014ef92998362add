"""Training on a substrate: diffusion, estimators, optimisers, trainer, runs, reports, command line."""
