"""Programs on `hsi_edge`, each short; run from a checkout as `python -m apps.<name>`."""
