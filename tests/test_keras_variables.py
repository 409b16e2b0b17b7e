"""Variables, and slices of gradients, as Keras's classes take them."""

from typing import Any

import numpy as np
import pytest

import symopt as so
from symopt.errors import ArrayError, DTypeError, RowIndexError, ShapeError
from symopt.keras.optimizers import SGD, Adam
from symopt.sparse import IndexedSlices


def test_a_variable_is_its_array() -> None:
    array = np.zeros((2, 2))
    w = so.Variable(array, "kernel")
    assert (w.name, w.shape, w.ndim, w.dtype, len(w)) == ("kernel", (2, 2), 2, np.dtype("float64"), 2)
    w.assign(np.ones((2, 2))).assign_add([[1, 1], [1, 1]]).assign_sub(so.Variable(np.full((2, 2), 0.5)))
    w[0] = 9.0
    assert w.value is array and array.tolist() == [[9.0, 9.0], [1.5, 1.5]] == np.asarray(w).tolist()
    w.numpy()[:] = 0.0  # a copy
    assert array[1, 1] == 1.5 and w[1].tolist() == [1.5, 1.5]


def test_lists_and_numbers_become_variables() -> None:
    assert (
        so.Variable([1.0, 2.0]).dtype == np.float32 and so.Variable(1.0, dtype="float64").dtype == np.float64
    )
    assert so.Variable(np.ones(2), dtype="float16").numpy().dtype == np.float16
    assert so.Variable(3.0).name == "Variable:0" and float(np.asarray(so.Variable(3.0))) == 3.0


def test_what_no_variable_can_be() -> None:
    with pytest.raises(DTypeError, match="kernel"):
        so.Variable(np.ones(2, "int64"), "kernel")
    with pytest.raises(ArrayError, match="read-only"):
        so.Variable(np.broadcast_to(1.0, (2,)))
    with pytest.raises(ShapeError, match=r"variable 'w' has shape \(2,\)"):
        so.Variable(np.ones(2), "w").assign(np.ones(3))


def test_bare_arrays_are_told_apart_as_objects() -> None:
    optimizer, first, second = Adam(0.5), np.ones(2), np.ones(2)
    for _ in range(2):
        optimizer.apply_gradients([(np.ones(2), first), (np.full(2, 2.0), second)])
    assert optimizer.get_slot(first, "m") is not optimizer.get_slot(second, "m")
    names = [w.name for w in optimizer.weights[1:]]
    assert names == ["Adam/Variable/m:0", "Adam/Variable_1/m:0", "Adam/Variable/v:0", "Adam/Variable_1/v:0"]
    del first
    for _ in range(3):  # ids of arrays that are gone would come up again
        optimizer.apply_gradients([(np.ones(2), np.ones(2))])
    assert len(optimizer.get_weights()) == 1 + 2 * 5


def test_a_name_is_never_that_of_another_state() -> None:
    optimizer = Adam(0.5)
    named = [
        so.Variable(np.ones(1), name) for name in ("a", "a/mean", "a:0/mean", "@lr", "a/grad", "ä b;", "a")
    ]
    for _ in range(2):
        optimizer.apply_gradients([(np.ones(1), w) for w in named])
    assert len({w.numpy()[0] for w in named}) == 1
    assert len(optimizer.state_dict()["parameters"]) == len(named)


def test_torch_tensors_are_variables() -> None:
    torch = pytest.importorskip("torch")
    w, g = torch.zeros(3), torch.ones(3)
    SGD(0.5).apply_gradients([(g, w)])
    assert w.tolist() == [-0.5, -0.5, -0.5]


def test_variables_on_a_gpu(emulated: None) -> None:
    """Slots are made where the variable is."""
    from symopt.places import from_host, place_of

    place = place_of(so.gpu(0))
    w, g = from_host(place, np.ones((3, 2), "float32")), from_host(place, np.ones((3, 2), "float32"))
    optimizer, here = Adam(0.5, clipnorm=1.0), np.ones((3, 2), "float32")
    same = Adam(0.5, clipnorm=1.0)
    for _ in range(2):
        optimizer.apply_gradients([(g, w)])
        same.apply_gradients([(np.ones((3, 2), "float32"), here)])
    np.testing.assert_array_equal(place.to_host(w), here)
    np.testing.assert_array_equal(optimizer.get_weights()[1], same.get_weights()[1])
    again = Adam(0.5)
    again.build([w])
    again.load_state_dict(same.state_dict() | {"parameters": optimizer.state_dict()["parameters"]})
    np.testing.assert_array_equal(again.get_slot(w, "v").numpy(), optimizer.get_slot(w, "v").numpy())


def test_slices_become_rows() -> None:
    slices = IndexedSlices(np.ones((2, 3)), np.array([4, 0]), (5, 3))
    rows = slices.to_row_sparse()
    assert rows.shape == slices.shape == (5, 3) and rows.data is slices.values and slices.dtype == np.float64
    assert IndexedSlices([[1.0]], [2]).to_row_sparse((3, 1)).todense().tolist() == [[0.0], [0.0], [1.0]]
    with pytest.raises(ShapeError, match="dense_shape is"):
        slices.to_row_sparse((6, 3))
    with pytest.raises(RowIndexError):
        slices.to_row_sparse((5, 3)) and IndexedSlices(np.ones((1, 3)), np.array([5])).to_row_sparse((5, 3))
    with pytest.raises(ArrayError, match="dense shape"):
        IndexedSlices(np.ones((1, 3)), np.array([5])).to_row_sparse()


class Tensor:
    """What TensorFlow's eager tensors are here: arrays that can only be copied out."""

    def __init__(self, x: Any) -> None:
        self.x = np.asarray(x)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.x


def test_slices_of_another_system() -> None:
    given = type("Slices", (), {})()
    given.values, given.indices, given.dense_shape = Tensor([[1.0], [2.0]]), Tensor([1, 1]), Tensor([3, 1])
    w = np.zeros((3, 1))
    SGD(1.0).apply_gradients([(given, w)])
    assert w[:, 0].tolist() == [0.0, -3.0, 0.0]
