"""conv2d_weight_grad on the CPU: the rungs of conv2d, seen from one of its gradients."""

RUNGS = ["cpu_columns", "cpu_winograd2", "cpu_winograd4"]
