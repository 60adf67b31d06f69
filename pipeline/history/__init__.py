"""The history of a store: what each run was asked, planned and did, and the life of every row."""
