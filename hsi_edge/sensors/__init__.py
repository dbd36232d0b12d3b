"""Sources of frames: RGB cameras and spectral sensors, live, recorded and simulated, behind one small protocol."""
