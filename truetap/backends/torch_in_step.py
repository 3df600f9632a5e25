"""torch: what recording does inside a step, op by op in as few kernels as it takes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from truetap.backends import in_step
from truetap.errors import TapError

_DTYPES = frozenset(
    {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128, torch.bool}
    | {torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64}
)
_BLOCK = 1 << 17  # values

# A C function to torch's compiler, which takes its result for a constant while tracing.
_salt_of = torch.compiler.assume_constant_result(in_step.salt_of)


class TorchInStep(in_step.WholeBatch):
    """See `truetap.backends.protocol.InStep`."""

    extremes_keep_nan = True

    def conditional(
        self, active: Any, compute: Callable[[], dict[str, Any]], *, jit_compile: bool = False
    ) -> dict[str, Any]:
        return compute() if bool(active) else {}

    def level(self) -> Any:
        return None

    def taken(self, value: Any, level: Any) -> Any:
        # torch (checked on 2.13) has no public name for "inside torch.func"
        if isinstance(value, torch.Tensor) and torch._C._functorch.is_functorch_wrapped_tensor(value):
            raise TapError(in_step.inside("torch.vmap or another function of torch.func that the step calls"))
        return value.detach().clone() if isinstance(value, torch.Tensor) else value  # it may be changed in place

    def bits(self, values: Any) -> Any:
        return values.contiguous().view(torch.int32)

    def count(self, index: Any, size: int) -> Any:
        # torch.bincount waits for the device, to learn the largest index
        one = torch.ones(1, dtype=torch.int32, device=index.device)
        return torch.zeros(size, dtype=torch.int32, device=index.device).index_add_(0, index, one.expand(len(index)))

    def bucket(self, values: Any, edges: np.ndarray[Any, Any]) -> Any:
        boundaries = torch.from_numpy(edges).to(values.device)
        return torch.bucketize(values, boundaries, out_int32=True, right=True)

    def fingerprintable(self, x: Any) -> bool:
        return x is None or x.dtype in _DTYPES

    def fingerprinted_later(self, x: Any) -> Any:
        """On CPU torch takes twice NumPy's time, and the training thread's; a copy of a small batch is nothing."""
        if not isinstance(x, torch.Tensor):  # an array, as train_on_batch hands it on; its owner may fill it again
            return np.array(x)
        if not self.fingerprintable(x):
            return x
        plain = x.layout is torch.strided and not x.is_nested and x.dtype is not torch.bfloat16
        small = x.numel() * x.element_size() <= _COPIED
        if torch.compiler.is_compiling() or x.device.type != "cpu" or not (plain and small):
            return None
        return x.detach().clone()

    def fingerprint(self, x: Any, without: Collection[str] = ()) -> Any:
        with torch.no_grad():
            return in_step.over_leaves(x, without, self.fingerprintable, _sums, _salt_of)


_COPIED = 1 << 20  # bytes of a batch that are copied for the writer's thread


def _sums(x: Any, salt: int) -> Any:
    x = x.detach()
    if x.is_nested:
        x = torch.nested.to_padded_tensor(x, 0)
    elif x.is_sparse:
        x = x.to_dense()
    x = x.reshape(len(x), x[:1].numel() if len(x) else 0)
    size = x.shape[1] * (2 if x.is_complex() else 1)
    odd = _coefficients(size, salt, x.device)
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        folded = _folded(x)  # two kernels per sum; compiled into one pass over x
        return torch.stack([(folded * each).sum(dim=1, dtype=torch.int32) for each in odd], dim=1)
    # On CPU a product of integer matrices is one kernel; blocks of rows spare it fresh pages of memory.
    rows = max(1, _BLOCK // max(1, size))
    sums = [odd @ _folded(x[start : start + rows]).t() for start in range(0, max(1, len(x)), rows)]
    return torch.cat(sums, dim=1).t()


def _make(size: int, salt: int, device: Any) -> Any:
    return torch.from_numpy(np.stack(in_step.constant_coefficients(size, salt))).to(device)


_remembered = lru_cache(maxsize=16)(_make)


def _coefficients(size: int, salt: int, device: Any) -> Any:
    """Both sums' coefficients, int32 of shape (2, size); remembered unless they are large."""
    if torch.compiler.is_compiling():  # fused with their use; whatever the size, one trace
        return torch.stack(in_step.step_coefficients(size, salt))
    return (_remembered if size <= in_step.CONSTANT_LIMIT else _make)(size, salt, device)


def _folded(x: Any) -> Any:
    """`b ^ b>>>16 ^ b>>>23` of the canonical bits, int32 of shape (n, size)."""
    bits = _bits(x)
    if x.dtype in (torch.bool, torch.uint8):  # no bits that folding would move
        return bits
    folded = (bits >> 16).bitwise_and_(0xFFFF)  # torch shifts int32 with its sign: masks take it off again
    folded ^= (bits >> 23).bitwise_and_(0x1FF)
    folded ^= bits
    return folded


def _bits(x: Any) -> Any:
    """The canonical 32 bits as int32 (n, size)."""
    if x.dtype == torch.bfloat16:
        return x.contiguous().view(torch.int16).to(torch.int32) << 16
    if x.dtype == torch.float16:
        return _from_half(x.contiguous())
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj()).reshape(len(x), 2 * x.shape[1])
    if x.dtype == torch.float64:
        return _from_double(x)
    if x.dtype == torch.float32:
        return x.contiguous().view(torch.int32)
    return x.to(torch.int32)


def _from_half(x: Any) -> Any:
    half = x.view(torch.int16).to(torch.int32)  # the sign is copied into the high bits
    broken = (half & -(1 << 31)) | 0x7F800000 | ((half & 0x3FF) << 13)
    is_broken = (half & 0x7C00) == 0x7C00
    return torch.where(is_broken, broken, x.to(torch.float32).view(torch.int32))  # a NaN keeps its payload


def _from_double(x: Any) -> Any:
    rounded = x.to(torch.float32).view(torch.int32)
    # What becomes a denormal float32 is its multiple of 2**-149: the conversion itself may flush it.
    tiny = (x.abs() * 2.0**149).round()
    tiny = torch.where(tiny <= 2.0**23, tiny, 0.0).to(torch.int32)
    return torch.where(x.abs() < 2.0**-126, (rounded & -(1 << 31)) | tiny, rounded)
