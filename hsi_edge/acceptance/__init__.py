"""`hsi-edge check`: the sign-off before deployment.

A model is opened on this device as it will fly and measured: accuracy against FP32 and against the truth (`accuracy`),
latency (`latency`), drift (`drift`), memory, power and heat as far as the system tells them (`telemetry`, `energy`).
`check` drives it, `judge` holds the numbers against a gate (`gate`), and `output` writes JSON, JUnit XML and one page.
"""
