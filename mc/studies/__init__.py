"""Study files and the runs they stand for: nothing is trained here."""
