"""Backups of the database by pgBackRest, and the proof, in a scratch cluster, that they can be restored."""
