"""What can be measured of a model before, while and after it is trained."""
