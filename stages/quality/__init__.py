"""Quality measurements of each clip, from stored signals and stills. They decode no video, drop no clip."""
