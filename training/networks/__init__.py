"""Networks of denoisers, written for one device; `training.parallel` distributes them."""
