"""The process that Ray starts on the cluster for `clipmill submit`: `python -m pipeline.submitted`."""
