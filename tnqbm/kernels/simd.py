"""Explicit SIMD for Numba kernels: one 512-bit vector type per precision, and its arithmetic.

LLVM's own vectoriser needs run-time alias checks for every short row of a kernel that reads and
writes several arrays; they cost as much as the arithmetic. With vectors as values, kernels keep
running sums in registers and need no such checks. A ``Simd`` value holds 8 doubles or 16 floats;
on machines with narrower registers LLVM splits each operation, so the code is portable.

Arithmetic follows IEEE except that a*b+c may be fused and the sign of zero ignored: no flag
assumes absence of NaN or infinity, and nothing is reassociated, so results are reproducible.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, models, register_model, type_callable

VECTOR_BYTES = 64
FLAGS = ("contract", "nsz", "arcp")


def lanes(dtype: Any) -> int:
    """Numbers per vector for a NumPy dtype."""
    return VECTOR_BYTES // int(np.dtype(dtype).itemsize)


def has_long_registers() -> bool:
    """Whether the processor that Numba compiles for holds a whole vector in a register (AVX-512).

    A processor that NUMBA_CPU_NAME names counts as one only if NUMBA_CPU_FEATURES says so.
    """
    features = config.CPU_FEATURES
    if features is None:
        features = get_host_cpu_features().flatten()
    return "+avx512f" in features.split(",")


def aligned(shape: tuple[int, ...], dtype: Any) -> Any:
    """An array of zeros that starts at a vector's boundary: others cost a second cache line a load.

    Rows are aligned too if their length is a whole number of vectors.
    """
    size = math.prod(shape) * int(np.dtype(dtype).itemsize)
    raw = np.zeros(size + VECTOR_BYTES, np.uint8)
    first = -raw.ctypes.data % VECTOR_BYTES
    return raw[first : first + size].view(dtype).reshape(shape)


class Simd(types.Type):
    """Numba type of a vector of ``lanes`` floats or integers."""

    def __init__(self, scalar: types.Float | types.Integer) -> None:
        self.scalar = scalar
        self.lanes = VECTOR_BYTES * 8 // scalar.bitwidth
        super().__init__(name=f"simd{self.lanes}x{scalar}")

    @staticmethod
    def of_integers(kind: Any) -> bool:
        """Whether a type is that of a vector of integers."""
        return isinstance(kind, Simd) and isinstance(kind.scalar, types.Integer)


def _vector_of(scalar: types.Float | types.Integer) -> ir.VectorType:
    element = ir.IntType(scalar.bitwidth)
    if isinstance(scalar, types.Float):
        element = ir.DoubleType() if scalar.bitwidth == 64 else ir.FloatType()
    return ir.VectorType(element, VECTOR_BYTES * 8 // scalar.bitwidth)


@register_model(Simd)
class _SimdModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Simd) -> None:
        super().__init__(dmm, fe_type, _vector_of(fe_type.scalar))


def _integer_vector(vector: ir.VectorType) -> ir.VectorType:
    bits = 64 if isinstance(vector.element, ir.DoubleType) else 32
    return ir.VectorType(ir.IntType(bits), vector.count)


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    vector = args[-1].type
    suffix = f"v{vector.count}f{64 if isinstance(vector.element, ir.DoubleType) else 32}"
    fnty = ir.FunctionType(result, [a.type for a in args])
    fn = cgutils.get_or_insert_function(builder.module, fnty, f"llvm.{name}.{suffix}")
    return builder.call(fn, args)


def _broadcast(builder: Any, scalar: Any, count: int) -> Any:
    vector = ir.VectorType(scalar.type, count)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)


def _pointer(context: Any, builder: Any, aryty: Any, ary: Any, index: Any, vector: Any) -> Any:
    data = context.make_array(aryty)(context, builder, ary).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


def _is_flat(array: Any) -> bool:
    return isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """Vector starting at ``array[index]`` of a flat contiguous array; no bounds check."""
    if not _is_flat(array):
        return None
    result = Simd(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(result)
        ptr = _pointer(context, builder, array, args[0], args[1], vector)
        instruction = builder.load(ptr)
        instruction.align = array.dtype.bitwidth // 8
        return instruction

    return result(array, types.intp), codegen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to ``array[index:index + lanes]``; no bounds check."""
    if not (_is_flat(array) and isinstance(value, Simd) and value.scalar == array.dtype):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        ptr = _pointer(context, builder, array, args[0], args[1], args[2].type)
        instruction = builder.store(args[2], ptr)
        instruction.align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, value), codegen


@intrinsic
def splat(typingctx: Any, array: Any, index: Any) -> Any:
    """Vector whose lanes all equal ``array[index]``; no bounds check."""
    if not _is_flat(array):
        return None
    result = Simd(array.dtype)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        return _broadcast(builder, builder.load(builder.gep(data, [args[1]])), result.lanes)

    return result(array, types.intp), codegen


# Operators are lowered to one instruction each. Through :func:`numba.extending.overload` every
# operation would be a call of a function, and most of what LLVM has to read and to inline.
# Vectors of integers have sums and differences with each other.

_OPERATIONS = {
    operator.add: "fadd",
    operator.sub: "fsub",
    operator.mul: "fmul",
    operator.truediv: "fdiv",
}


def _define_operator(op: Any, method: str) -> None:
    """An operator between vectors of one type, or a vector and a number, as LLVM's ``method``."""

    @type_callable(op)
    def typer(context: Any) -> Any:
        def of(left: Any, right: Any) -> Any:
            if Simd.of_integers(left) or Simd.of_integers(right):
                return left if left == right and method in ("fadd", "fsub") else None
            if isinstance(left, Simd) and (left == right or isinstance(right, types.Number)):
                return left
            if isinstance(right, Simd) and isinstance(left, types.Number):
                return right
            return None

        return of

    def lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if Simd.of_integers(signature.return_type):
            return getattr(builder, method[1:])(*args)
        operands = [
            value if isinstance(kind, Simd) else _rounded(context, builder, kind, value, signature)
            for kind, value in zip(signature.args, args, strict=True)
        ]
        return getattr(builder, method)(*operands, flags=FLAGS)

    for pair in ((Simd, Simd), (Simd, types.Number), (types.Number, Simd)):
        lower_builtin(op, *pair)(lower)


def _rounded(context: Any, builder: Any, kind: Any, value: Any, signature: Any) -> Any:
    """A number in every lane, rounded to double and then to the precision of the result."""
    vector = signature.return_type
    double = context.cast(builder, value, kind, types.float64)
    return _broadcast(
        builder, context.cast(builder, double, types.float64, vector.scalar), vector.lanes
    )


for _op, _method in _OPERATIONS.items():
    _define_operator(_op, _method)


@intrinsic
def sqrt(typingctx: Any, x: Any) -> Any:
    """Square root of every lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(builder, "sqrt", args[0].type, args[0])

    return x(x), codegen


@intrinsic
def absolute(typingctx: Any, x: Any) -> Any:
    """Absolute value of every lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _call(builder, "fabs", args[0].type, args[0])

    return x(x), codegen


@intrinsic
def maximum(typingctx: Any, x: Any, y: Any) -> Any:
    """Lane-wise maximum."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return x(x, y), codegen


@intrinsic
def exponent(typingctx: Any, x: Any) -> Any:
    """Binary exponent of every (normal, positive) lane: x = mantissa(x) * 2**exponent(x)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = _integer_vector(args[0].type)
        mantissa_bits, bias = _FORMAT[x.scalar.bitwidth]
        count = integers.count
        raw = builder.lshr(
            builder.bitcast(args[0], integers), ir.Constant(integers, [mantissa_bits] * count)
        )
        unbiased = builder.sub(raw, ir.Constant(integers, [bias] * count))
        return builder.sitofp(unbiased, args[0].type)

    return x(x), codegen


@intrinsic
def mantissa(typingctx: Any, x: Any) -> Any:
    """Significand in [1, 2) of every (normal, positive) lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = _integer_vector(args[0].type)
        mantissa_bits, bias = _FORMAT[x.scalar.bitwidth]
        count = integers.count
        low = builder.and_(
            builder.bitcast(args[0], integers),
            ir.Constant(integers, [(1 << mantissa_bits) - 1] * count),
        )
        one = ir.Constant(integers, [bias << mantissa_bits] * count)
        return builder.bitcast(builder.or_(low, one), args[0].type)

    return x(x), codegen


@intrinsic
def total(typingctx: Any, x: Any) -> Any:
    """Sum over lanes, by halving: a fixed order, the same on every machine."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _halve(builder, args[0], lambda a, b: builder.fadd(a, b))

    return x.scalar(x), codegen


@intrinsic
def totals(
    typingctx: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, out: Any
) -> Any:
    """Write the sums over lanes of eight vectors to out[0:8], by a tree shared between them."""
    if not (isinstance(a, Simd) and _is_flat(out) and out.dtype == a.scalar):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors = list(args[:8])
        while len(vectors) > 1:
            # Sums of even and odd neighbours of two vectors, side by side in one.
            count = vectors[0].type.count
            mask = ir.VectorType(ir.IntType(32), count)
            even = ir.Constant(mask, [2 * k for k in range(count)])
            odd = ir.Constant(mask, [2 * k + 1 for k in range(count)])
            vectors = [
                builder.fadd(builder.shuffle_vector(x, y, even), builder.shuffle_vector(x, y, odd))
                for x, y in zip(vectors[::2], vectors[1::2], strict=True)
            ]
        result = vectors[0]
        while result.type.count > 8:
            half = ir.VectorType(ir.IntType(32), result.type.count // 2)
            undefined = ir.Constant(result.type, ir.Undefined)
            even = ir.Constant(half, [2 * k for k in range(half.count)])
            odd = ir.Constant(half, [2 * k + 1 for k in range(half.count)])
            result = builder.fadd(
                builder.shuffle_vector(result, undefined, even),
                builder.shuffle_vector(result, undefined, odd),
            )
        data = context.make_array(out)(context, builder, args[8]).data
        instruction = builder.store(result, builder.bitcast(data, result.type.as_pointer()))
        instruction.align = out.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(a, b, c, d, e, f, g, h, out), codegen


@intrinsic
def largest(typingctx: Any, x: Any) -> Any:
    """Largest lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _halve(
            builder, args[0], lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b)
        )

    return x.scalar(x), codegen


def _halve(builder: Any, vector: Any, combine: Any) -> Any:
    while vector.type.count > 1:
        half = vector.type.count // 2
        index = ir.VectorType(ir.IntType(32), half)
        undefined = ir.Constant(vector.type, ir.Undefined)
        low = builder.shuffle_vector(vector, undefined, ir.Constant(index, list(range(half))))
        high = builder.shuffle_vector(
            vector, undefined, ir.Constant(index, list(range(half, 2 * half)))
        )
        vector = combine(low, high)
    return builder.extract_element(vector, ir.IntType(32)(0))


# (mantissa bits, exponent bias) by precision.
_FORMAT = {64: (52, 1023), 32: (23, 127)}

# Polynomials are written out rather than fitted on import: a fit by LAPACK rounds differently from
# one processor to the next. They interpolate at Chebyshev nodes, lowest power first; the tests
# calculate them anew with 60 digits.
EXP = {
    64: (
        1.0, 1.0000000000000067, 0.5000000000000006, 0.16666666666554406, 0.04166666666657314,
        0.008333333385667782, 0.0013888888932488599, 0.00019841170270440067,
        2.4801504346997686e-05, 2.764018079620985e-06, 2.7626357241447223e-07,
    ),
    32: (
        1.0, 1.000000037716214, 0.5000000047117757, 0.16666415514653277, 0.04166635289677516,
        0.008375126398153335, 0.0013941108433972674,
    ),
}  # fmt: skip
"""exp(x), |x| <= log(2)/2, by bits of precision."""

# (lowest argument, round-to-integer constant 1.5 * 2**mantissa, mantissa bits, log 2 in two parts)
# by precision. The lowest argument keeps the result a normal number.
_EXP_REDUCTION = {
    64: (-600.0, 6755399441055744.0, 52, (0.6931471803691238, 1.9082149292705877e-10)),
    32: (-60.0, 12582912.0, 23, (0.693359375, -2.12194440e-4)),
}


@intrinsic
def exp(typingctx: Any, x: Any) -> Any:
    """exp of every lane, for arguments below 700 (80 in single precision).

    Relative error below 2.5 eps, the spacing of numbers above 1 (2.0 measured with FMA, 2.2
    without, over 4 million arguments); arguments below -600 (-60) return
    exp(-600) (exp(-60)), small beside anything it is added to.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        integers = _integer_vector(vector)
        poly = EXP[x.scalar.bitwidth]
        lowest, magic, mantissa, (log2_high, log2_low) = _EXP_REDUCTION[x.scalar.bitwidth]

        def const(value: float) -> Any:
            return ir.Constant(vector, [value] * vector.count)

        def fma(a: Any, b: Any, c: Any) -> Any:
            return builder.fadd(builder.fmul(a, b, flags=FLAGS), c, flags=FLAGS)

        clamped = builder.select(
            builder.fcmp_ordered(">", args[0], const(lowest)), args[0], const(lowest)
        )
        # Adding the magic constant rounds x / log 2 to an integer, left in the low mantissa bits.
        shifted = fma(clamped, const(1.0 / math.log(2.0)), const(magic))
        whole = builder.fsub(shifted, const(magic))
        rest = fma(whole, const(-log2_high), clamped)
        rest = fma(whole, const(-log2_low), rest)
        result = const(poly[-1])
        for coefficient in reversed(poly[:-1]):
            result = fma(result, rest, const(coefficient))
        # Multiply by 2**whole by adding to the exponent bits.
        exponent = builder.shl(
            builder.bitcast(shifted, integers), ir.Constant(integers, [mantissa] * vector.count)
        )
        scaled = builder.add(builder.bitcast(result, integers), exponent)
        return builder.bitcast(scaled, vector)

    return x(x), codegen
