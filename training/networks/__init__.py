"""Networks that denoisers are made of: written for one device, parallelised from outside."""
