"""Scenes, camera responses and degradations: from a spectral image to a training pair."""
