"""Schedules: the times at which they submit their tasks, and the loop that fires them."""
