"""What can be wrong with a GPU, or with what kernels on it need; each message says what to do."""


class GPUError(RuntimeError):
    """No GPU can be used here, or it refused."""


class GPUMemoryError(GPUError, MemoryError):
    """The GPU has too little memory left."""


class NoNvrtcError(GPUError):
    """NVRTC, which builds kernels, or its headers are not installed."""


class GraphError(GPUError):
    """A function does what cannot be recorded as a graph."""
