"""conv2d on the CPU. cpu_columns takes every filter; Winograd's are for 3x3 at stride 1."""

RUNGS = ["cpu_columns", "cpu_winograd2", "cpu_winograd4"]
