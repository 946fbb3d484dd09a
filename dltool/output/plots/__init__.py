"""Pictures of runs side by side: weights' paths, decision regions, fitted curves, weights, losses, inputs."""
