"""What the graph promises: each path counted once, memory freed, writes caught, clear errors."""

import copy
import gc
import threading
import weakref

import numpy as np
import pytest

from minigen import Tensor, no_grad
from minigen.autograd import add, grad, leaf_gradients, matmul, primitive, recording


def leaf(*values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


def test_a_shared_subexpression_gets_both_gradients():
    x = leaf(3.0)
    shared = x * x
    (shared * 2.0 + shared * shared).sum().backward()  # 2 x^2 + x^4
    assert x.grad.item() == 4 * 3 + 4 * 27


def test_an_input_used_twice_by_one_op_gets_both_gradients():
    x = leaf(3.0)
    (x * x).backward(np.ones(1))
    assert x.grad.item() == 6


def test_an_op_waits_for_all_its_consumers():
    x = leaf(1.0)
    y = x * 2.0
    for _ in range(20):  # 2^20 paths, each op visited once
        y = y + y
    y.backward(np.ones(1))
    assert x.grad.item() == 2.0**21


def test_gradients_of_two_backward_calls_add_up():
    x = leaf(3.0)
    (x * 2.0).sum().backward()
    (x * 5.0).sum().backward()
    assert x.grad.item() == 7


def test_only_leaves_that_ask_get_a_gradient():
    x, constant = leaf(3.0), Tensor([2.0]).astype(np.float64)
    y = x * constant
    y.sum().backward()
    assert x.grad is not None
    assert y.grad is None
    assert constant.grad is None


def test_backward_of_a_leaf_is_its_upstream_gradient():
    x = leaf(3.0)
    x.backward(np.array([5.0]))
    assert x.grad.item() == 5


def test_a_rule_that_gives_none_ends_the_path():
    @primitive
    def sign(x):
        return np.sign(x)

    sign.backward(lambda g, y, x: None)
    x = leaf(3.0)
    (sign(x * 2.0) * x).sum().backward()
    assert x.grad.item() == 1  # not through the sign


def test_derivatives_of_any_order_come_from_the_same_rules():
    x = leaf(2.0)
    y = x**4
    for expected in (4 * 8, 12 * 4, 24 * 2, 24):
        (y,) = grad(y, [x], gradient=np.ones(1), create_graph=True)
        assert y.item() == expected


def test_backward_through_a_gradient_gives_the_second_derivative():
    x = leaf(2.0)
    (x**3).sum().backward(create_graph=True)
    gx, x.grad = x.grad, None
    (gx * gx).sum().backward()  # d (3 x^2)^2 / dx = 36 x^3
    assert x.grad.item() == 36 * 8


def test_grad_takes_inner_nodes_and_the_result_itself():
    x = leaf(2.0)
    inner = x * 3.0
    y = inner * inner
    gy, g_inner, gx = grad(y, [y, inner, x], gradient=np.ones(1))
    assert [gy.item(), g_inner.item(), gx.item()] == [1, 12, 36]


def test_grad_leaves_grad_alone_and_keeps_the_graph():
    x = leaf(2.0)
    y = (x * x).sum()
    assert grad(y, [x])[0].item() == grad(y, [x])[0].item() == 4
    assert x.grad is None


def test_grad_without_create_graph_is_cut_off():
    x, g = leaf(2.0), leaf(1.0)
    gradients = grad(x + x * x, [x], gradient=g)
    assert not gradients[0].requires_grad
    assert grad(x.reshape(1), [x], gradient=g)[0].requires_grad is False


def test_grad_by_a_stranger_is_an_error():
    x, stranger = leaf(2.0), leaf(1.0)
    with pytest.raises(RuntimeError, match="does not depend on input 1"):
        grad((x * x).sum(), [x, stranger])


def test_grad_by_a_tensor_instead_of_a_list_is_an_error():
    x = leaf(2.0)
    with pytest.raises(TypeError, match="expected a list"):
        grad((x * x).sum(), x)


def test_a_graph_of_100_000_ops_is_walked_without_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.sum().backward()
    assert x.grad.item() == 1


def test_a_graph_of_100_000_ops_is_dropped_without_recursion():
    y = leaf(1.0)
    for _ in range(100_000):
        y = -y
    del y  # a crash, if it were recursive


# ----------------------------------------------------------------------------------------- memory


def test_backward_frees_the_graph():
    y = (leaf(2.0) ** 2).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"graph of sum was freed.*retain_graph"):
        y.backward()


def test_retain_graph_keeps_the_graph_for_another_backward():
    x = leaf(2.0)
    y = (x**2).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8


def test_a_half_freed_graph_is_an_error_that_leaves_grad_alone():
    x, other = leaf(2.0), leaf(2.0)
    shared = x * x
    shared.sum().backward()
    x.grad = None
    with pytest.raises(RuntimeError, match="graph of multiply was freed"):
        (shared + other).sum().backward()
    assert x.grad is None
    assert other.grad is None


def test_arrays_are_freed_while_walking_back():
    seen, alive = [], []

    @primitive
    def step(x):
        return x + 1

    @step.backward
    def step_backward(g, y, x):
        alive.append(sum(ref() is not None for ref in seen))
        return g

    y = leaf(1.0)
    for _ in range(4):
        y = step(y)
        seen.append(weakref.ref(y.data))
    y.sum().backward()
    assert alive == [4, 4, 3, 2]  # `y` itself is held here


def test_dropping_the_result_frees_the_graph_without_the_garbage_collector():
    gc.disable()
    try:
        x = leaf(2.0)
        y = x * 2.0
        array = weakref.ref(y.data)
        z = (y * y).sum()
        del y
        assert array() is not None
        del z
        assert array() is None
    finally:
        gc.enable()


def test_gradients_of_leaves_share_no_memory():
    a, b, upstream = leaf(1.0, 2.0), leaf(3.0, 4.0), np.ones(2)
    (a + b).backward(upstream)
    a.grad.data *= 0  # as gradient clipping does
    np.testing.assert_array_equal(b.grad.data, [1, 1])
    np.testing.assert_array_equal(upstream, [1, 1])


def test_leaf_gradients_sets_no_grad():
    x = leaf(1.0, 2.0)
    ((found, g),) = leaf_gradients((x * x).sum())
    assert found is x
    assert x.grad is None
    np.testing.assert_array_equal(g.data, [2, 4])


# --------------------------------------------------------------------------------- in-place writes


def overwrite_input(x, y):
    x.data *= 2


def overwrite_output(x, y):
    y.data += 1


def rebind_input(x, y):
    x.data = x.data * 2


@pytest.mark.parametrize("size", [1, 64, 65, 1000])
@pytest.mark.parametrize("write", [overwrite_input, overwrite_output, rebind_input])
def test_a_write_to_an_array_that_backward_needs_is_caught(write, size):
    x = Tensor(np.ones(size), requires_grad=True)
    y = x * x
    write(x, y)
    with pytest.raises(RuntimeError, match=r"put of multiply was written to|input 0 of multiply"):
        y.backward(np.ones(size))


def test_a_write_to_one_element_of_a_small_array_is_caught():
    x = leaf(*range(64))
    y = x * x
    x.data[37] = -1
    with pytest.raises(RuntimeError, match="written to"):
        y.backward(np.ones(64))


def test_an_optimiser_may_write_between_steps():
    w = leaf(1.0, 2.0)
    for _ in range(3):
        w.grad = None
        (w * w).sum().backward()
        w.data -= 0.25 * w.grad.data
    np.testing.assert_array_equal(w.data, [0.125, 0.25])


def test_a_nan_is_not_taken_for_a_write():
    x = leaf(np.nan, 1.0)
    (x * x).sum().backward()
    assert np.isnan(x.grad.data[0])


# ----------------------------------------------------------------------------------------- threads


def test_threads_may_share_their_leaves():
    x, found = leaf(1.0, 2.0), []

    def work(factor):
        found.extend(leaf_gradients((x * x * factor).sum()))

    threads = [threading.Thread(target=work, args=(float(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(sum(g.data for _, g in found), [56, 112])


def test_no_grad_holds_in_its_own_thread_only():
    recorded = []

    def work():
        recorded.append((leaf(1.0) * 2.0).requires_grad)

    with no_grad():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert recorded == [True]


# ------------------------------------------------------------------------------- recording, errors


def test_no_grad_records_nothing_and_recording_turns_it_on_again():
    x = leaf(1.0)
    with no_grad():
        assert not (x * 2.0).requires_grad
        with recording(True):
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_an_exception_in_the_block_or_in_a_rule_leaves_recording_on():
    @primitive
    def broken(x):
        return x + 0

    @broken.backward
    def broken_backward(g, y, x):
        raise ZeroDivisionError

    x = leaf(1.0)
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        broken(x).backward(np.ones(1))
    assert (x * 2.0).requires_grad
    assert x.grad is None


def test_backward_of_a_non_scalar_asks_for_a_gradient():
    with pytest.raises(RuntimeError, match=r"shape \(2,\) needs a gradient"):
        (leaf(1.0, 2.0) * 2.0).backward()


def test_backward_without_anything_to_differentiate_by_is_an_error():
    with pytest.raises(RuntimeError, match="requires a gradient"):
        (Tensor([1.0]) * 2.0).backward()


@pytest.mark.parametrize("g", [np.ones(3), np.ones((2, 1)), Tensor(np.ones(2, np.float32))])
def test_a_gradient_of_another_shape_or_type_is_an_error(g):
    with pytest.raises(RuntimeError, match="backward: a gradient of type"):
        (leaf(1.0, 2.0) * 2.0).backward(g)


WRONG_RULES = {
    "gave 2 gradients, expected 1": lambda g, y, x: (g, g),
    r"shape \(1,\) came": lambda g, y, x: g[:1],
    "type float32": lambda g, y, x: g.astype(np.float32),
    "no backward rule": None,
}


@pytest.mark.parametrize("message", WRONG_RULES)
def test_a_wrong_rule_is_named(message):
    @primitive
    def doubled(x):
        return x * 2

    doubled.backward(WRONG_RULES[message])
    with pytest.raises(RuntimeError, match=f"doubled.*{message}"):
        doubled(leaf(1.0, 2.0)).backward(np.ones(2))


def test_copies_of_a_model_share_its_ops():
    assert copy.deepcopy([add, matmul]) == [add, matmul]
