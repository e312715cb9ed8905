"""What every step of a sampler comes to, and guidance too: arrays times numbers, added up."""

from minigen.backend import Array, select


def affine_step(*terms: tuple[float, Array]) -> Array:
    """a x + b y, or a x + b y + c z, from (a, x), (b, y), (c, z).

    Shapes: all of one shape, or of shapes that broadcast.
    Kernels: kernels/affine_step, in one pass over memory.
    """
    factors, arrays = tuple(a for a, _ in terms), tuple(x for _, x in terms)
    kernel = select("affine_step", arrays, {"factors": factors})
    if kernel is not None:
        return kernel.launch(*arrays, factors=factors)[0]
    (a, x), *others = terms
    y = a * x
    for b, other in others:
        y = y + b * other
    return y
