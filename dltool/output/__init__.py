"""Pictures of training and of what models have learned."""
