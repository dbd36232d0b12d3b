"""The live pipeline measured: its stages, its endurance, and what it does when something goes wrong."""
