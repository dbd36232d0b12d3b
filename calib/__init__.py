"""Precision in the graph: FP16 and INT8 graphs of a bundle's FP32 one, judged on the user's own scenes.

Run as `python -m calib BUNDLE`. `calib.fp16` and `calib.int8` write graphs as the bytes of ONNX files, `calib.ranges`
and `calib.calibrators` find the ranges of activations, and `calib.half_arithmetic` runs a graph as a GPU rounds it.
"""
