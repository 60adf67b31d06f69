"""Models trained on what was curated, and videos sampled from them."""
