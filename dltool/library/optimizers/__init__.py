"""Rules by which weights follow gradients."""
