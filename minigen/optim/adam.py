"""Adam, and AdamW with the decay of weights apart from the gradient."""

from minigen.backend import Array, array_module, select
from minigen.optim.optimizer import Optimizer, Parameters


class Adam(Optimizer):
    """Steps of about lr in each coordinate: the gradient's mean over the root of its mean square.

        m = beta1 m + (1 - beta1) g,      m_hat = m / (1 - beta1^steps)
        v = beta2 v + (1 - beta2) g^2,    v_hat = v / (1 - beta2^steps)
        p = p - lr m_hat / (sqrt(v_hat) + eps)

    `weight_decay` is added to the gradient (g + weight_decay p); see AdamW for decay apart from it.
    Source: Kingma and Ba, 2015, algorithm 1, arXiv 1412.6980.
    """

    slots = ("m", "v")

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr, weight_decay)
        self.betas, self.eps = betas, eps

    def update(self, p: Array, g: Array, **buffers: Array) -> None:
        self._adapt(p, g + self.weight_decay * p if self.weight_decay else g, **buffers)

    def _adapt(self, p: Array, g: Array, m: Array, v: Array) -> None:
        xp, step, (beta1, beta2) = array_module(p), self.scratch.like(p), self.betas
        xp.subtract(g, m, out=step)
        step *= 1 - beta1
        m += step
        xp.multiply(g, g, out=step)
        step *= 1 - beta2
        v *= beta2
        v += step
        xp.sqrt(v, out=step)
        step *= (1 - beta2**self.steps) ** -0.5
        step += self.eps
        xp.divide(m, step, out=step)
        step *= self.lr / (1 - beta1**self.steps)
        p -= step


class AdamW(Adam):
    """Adam with the decay p = p - lr weight_decay p apart from the gradient and its scaling.

    Source: Loshchilov and Hutter, 2019, algorithm 2, arXiv 1711.05101.
    """

    def update_all(self, names: list[str]) -> bool:
        ps = [self.parameters[name].data for name in names]
        gs = [g.data for name in names if (g := self.parameters[name].grad) is not None]
        ms, vs = ([self.buffers[name][slot] for name in names] for slot in self.slots)
        settings = {"lr": self.lr, "betas": self.betas, "eps": self.eps}
        settings |= {"weight_decay": self.weight_decay, "steps": self.steps}
        kernel = select("adamw", (ps, gs, ms, vs), settings)
        if kernel is not None:
            kernel.launch(ps, gs, ms, vs, **settings)
        return kernel is not None

    def update(self, p: Array, g: Array, **buffers: Array) -> None:
        if self.weight_decay:
            p *= 1 - self.lr * self.weight_decay
        self._adapt(p, g, **buffers)
