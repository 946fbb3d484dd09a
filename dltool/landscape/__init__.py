"""The loss as a surface over the weights: curvature, critical points, slices."""
