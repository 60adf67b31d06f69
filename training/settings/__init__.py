"""The settings of a training, in groups. `training.recipes.config` joins and checks them."""
