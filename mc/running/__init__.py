"""Runs of a study over ranks: tasks, checkpoints, teams, progress, and the archive at the end."""
