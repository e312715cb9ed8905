"""The step-through instruments: every op is seen, forward and backward; the first NaN is named."""

import threading
import weakref
from contextvars import copy_context

import numpy as np
import pytest
from close import assert_close

import minigen.kernels
from minigen import Tensor, backend, ops, use_kernels
from minigen.autograd import observe
from minigen.trace import Record, Row, stop_at_nan, trace


def leaf(*values):
    return Tensor(np.array(values, np.float32), requires_grad=True)


# ------------------------------------------------------------------------------------------- trace


def test_every_op_is_written_down_with_its_shapes():
    a, b = Tensor(np.ones((2, 3), np.float32)), Tensor(np.ones((3, 4), np.float32))
    with trace() as record:
        (a @ b).sum(axis=0)
    product, total = record
    assert product[:-1] == ("matmul", "", ((2, 3), (3, 4)), ((2, 4),), "float32", "reference")
    assert total[:-1] == ("sum", "", ((2, 4),), ((4,),), "float32", "reference")
    assert product.ms > 0


def test_ops_of_the_backward_pass_name_the_op_whose_gradient_they_are():
    x = leaf(1.0, 2.0)
    with trace() as record:
        ops.exp(x).sum().backward()
    assert [(row.op, row.rule) for row in record] == [
        ("exp", ""),
        ("sum", ""),
        ("reshape", "sum"),
        ("broadcast_to", "sum"),
        ("multiply", "exp"),
    ]


def test_a_trace_ends_with_its_block_also_after_an_error():
    with pytest.raises(ZeroDivisionError), trace() as record:
        raise ZeroDivisionError
    leaf(1.0) * 2.0
    assert record == []


def test_traces_nest():
    x = leaf(1.0)
    with trace() as outer:
        x * 2.0
        with trace() as inner:
            x + 2.0
    assert [row.op for row in outer] == ["multiply", "add"]
    assert [row.op for row in inner] == ["add"]


def test_a_trace_sees_the_threads_that_run_in_a_copy_of_its_context():
    def work():
        leaf(1.0) * 2.0

    with trace() as record:
        for target, args in ((work, ()), (copy_context().run, (work,))):
            thread = threading.Thread(target=target, args=args)
            thread.start()
            thread.join()
    assert len(record) == 1


def test_a_trace_keeps_no_arrays():
    x = leaf(1.0)
    with trace() as record:
        y = x * 2.0
    array = weakref.ref(y.data)
    del y
    assert len(record) == 1
    assert array() is None


def test_the_table_is_aligned_under_its_head():
    with trace() as record:
        leaf(1.0, 2.0) * 2.0
        leaf(1.0).sum()
    lines = str(record).splitlines()
    assert lines[0].split()[:1] == ["op"]
    assert [line.split()[0] for line in lines[1:]] == ["multiply", "sum"]
    assert {line.index("float32") for line in lines[1:]} == {lines[0].index("dtype")}
    assert len({len(line) for line in lines}) == 1


def test_totals_add_up_and_the_largest_comes_first():
    times = {"exp": 1.0, "sum": 4.0}
    rows = [Row(op, "", (), (), "float32", "reference", ms) for op, ms in times.items()]
    back = [Row("multiply", "exp", (), (), "float32", "reference", 2.5)] * 2
    totals = Record([*rows, *back]).by_op()
    assert totals == [("exp backward", 2, 5.0, 0.5), ("sum", 1, 4.0, 0.4), ("exp", 1, 1.0, 0.1)]
    assert "exp backward    2  5.000  50.0%" in str(totals)


def test_an_empty_record_prints_its_head():
    assert str(Record()) == "op  in the rule of  inputs  output  dtype  ran  ms"
    assert str(Record().by_op()) == "op  ops  ms  share"


def test_a_kernel_and_its_own_backward_are_written_down(tmp_path, monkeypatch):
    folder = tmp_path / "exp"
    folder.mkdir()
    (folder / "__init__.py").write_text("RUNGS = ['fused']")
    (folder / "fused.py").write_text(
        "def supports(x): return None\ndef launch(x): return x + 1, lambda g, needs: (g + 1,)"
    )
    monkeypatch.setattr(minigen.kernels, "__path__", [str(tmp_path)])
    backend._load.cache_clear()
    backend._importable.cache_clear()
    backend._order_of.cache_clear()
    with trace() as record, use_kernels(exp="fused"):
        ops.exp(leaf(1.0)).backward(np.ones(1))
    backend._load.cache_clear()
    backend._importable.cache_clear()
    backend._order_of.cache_clear()
    found = [(row.op, row.rule, row.ran) for row in record]
    assert found == [("exp", "", "fused"), ("exp_backward", "exp", "fused")]


# ------------------------------------------------------------------------------------- stop_at_nan


def test_the_first_infinity_is_named_with_the_shapes():
    with pytest.raises(FloatingPointError) as error, stop_at_nan():
        ops.log(Tensor(np.zeros((2, 3), np.float32)) * 2.0).sum()
    assert str(error.value) == (
        "log: infinity in the output of shape (2, 3); inputs of shape (2, 3), all finite"
    )


def test_the_message_says_which_input_was_bad_before():
    bad = Tensor(np.array([np.nan], np.float32))
    with pytest.raises(FloatingPointError) as error, stop_at_nan():
        leaf(1.0) * bad
    assert str(error.value) == (
        "multiply: NaN in the output of shape (1,); "
        "inputs of shape (1,) (1,), not finite before: input 1"
    )


def test_a_nan_of_the_backward_pass_names_the_op_whose_gradient_it_is():
    x = leaf(0.0, 4.0)
    with pytest.raises(FloatingPointError, match="gradient of sqrt, divide: inf"), stop_at_nan():
        ops.sqrt(x).sum().backward()
    assert x.grad is None


def test_a_nan_that_cancels_later_is_found_where_it_arose():
    x = leaf(-1.0, 4.0)
    with pytest.raises(FloatingPointError, match="log: NaN"), stop_at_nan():
        ops.where(x.data > 0, ops.log(x), 0.0).sum()


def test_finite_programs_run_as_they_would():
    def program(x):
        y = ops.softmax(ops.exp(x)).sum()
        y.backward()
        return y.data, x.grad.data

    expected = program(leaf(1.0, 2.0))
    with stop_at_nan():
        found = program(leaf(1.0, 2.0))
    for a, b in zip(found, expected):
        assert_close(a, b)


def test_integers_are_no_concern_of_stop_at_nan():
    with stop_at_nan():
        assert (Tensor([1, 2]) + Tensor([3, 4])).data.tolist() == [4, 6]


def test_nan_is_free_again_after_the_block():
    with pytest.raises(FloatingPointError), stop_at_nan():
        leaf(np.nan) * 2.0
    assert np.isnan((leaf(np.nan) * 2.0).data).all()


# ---------------------------------------------------------------------------------------- observers


def test_nobody_is_called_outside_the_block():
    calls = []
    with observe(calls.append):
        leaf(1.0) * 2.0
    leaf(1.0) * 2.0
    assert [call.name for call in calls] == ["multiply"]


def test_observers_are_called_in_the_order_in_which_they_came():
    order = []
    with observe(lambda call: order.append(1)), observe(lambda call: order.append(2)):
        leaf(1.0) * 2.0
    assert order == [1, 2]
