"""The checkpointer contract, a file for each kind of promise. ``CheckpointerContract`` is all of them."""
