"""Datasets: each public class here is a name that a recipe's `data.dataset` may use."""
