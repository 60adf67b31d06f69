"""What models are trained to make small."""
