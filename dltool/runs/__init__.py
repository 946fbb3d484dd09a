"""Run directories: trained, opened, resumed."""
