"""More lane-wise functions for :mod:`tnqbm.jit.simd`: selection, logarithm, points on a circle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.polynomial import chebyshev

from tnqbm.jit.simd import FLAGS, Simd, _exp_coefficients, _is_flat, _pointer


@intrinsic
def minimum(typingctx: Any, x: Any, y: Any) -> Any:
    """Lane-wise minimum."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return x(x, y), codegen


@intrinsic
def where_less(typingctx: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """x in the lanes where a < b, y in the others."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[2], args[3])

    return x(a, b, x, y), codegen


@intrinsic
def less_bits(typingctx: Any, a: Any, b: Any) -> Any:
    """Integer whose bit l says whether a < b in lane l."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        compared = builder.fcmp_ordered("<", args[0], args[1])
        bits = builder.bitcast(compared, ir.IntType(a.lanes))
        return builder.zext(bits, ir.IntType(64))

    return types.int64(a, b), codegen


@intrinsic
def bytes_to_bits(typingctx: Any, array: Any, index: Any, like: Any) -> Any:
    """Integer whose bit l says whether ``array[index + l]`` (uint8) is not zero, l < lanes."""
    if not (_is_flat(array) and array.dtype == types.uint8 and isinstance(like, Simd)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), like.lanes)
        instruction = builder.load(_pointer(context, builder, array, args[0], args[1], vector))
        instruction.align = 1
        compared = builder.icmp_unsigned("!=", instruction, ir.Constant(vector, [0] * like.lanes))
        return builder.zext(builder.bitcast(compared, ir.IntType(like.lanes)), ir.IntType(64))

    return types.int64(array, types.intp, like), codegen


@intrinsic
def bytes_to_spins(typingctx: Any, array: Any, index: Any, like: Any) -> Any:
    """Spins 1 - 2 v of the bits v = ``array[index + l]`` (uint8, 0 or 1), l < lanes."""
    if not (_is_flat(array) and array.dtype == types.uint8 and isinstance(like, Simd)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), like.lanes)
        instruction = builder.load(_pointer(context, builder, array, args[0], args[1], vector))
        instruction.align = 1
        compared = builder.icmp_unsigned("!=", instruction, ir.Constant(vector, [0] * like.lanes))
        result = context.get_value_type(like)

        def const(value: float) -> Any:
            return ir.Constant(result, [value] * like.lanes)

        return builder.select(compared, const(-1.0), const(1.0))

    return like(array, types.intp, like), codegen


@intrinsic
def bits_to_bytes(typingctx: Any, array: Any, index: Any, bits: Any, like: Any) -> Any:
    """Write bit l of an integer to ``array[index + l]`` (uint8) as 0 or 1, l < lanes."""
    if not (_is_flat(array) and array.dtype == types.uint8 and isinstance(like, Simd)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), like.lanes)
        flags = ir.VectorType(ir.IntType(1), like.lanes)
        mask = builder.bitcast(builder.trunc(args[2], ir.IntType(like.lanes)), flags)
        pointer = _pointer(context, builder, array, args[0], args[1], vector)
        instruction = builder.store(builder.zext(mask, vector), pointer)
        instruction.align = 1
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64, like), codegen


@intrinsic
def bits_to_nibbles(typingctx: Any, array: Any, index: Any, bits: Any, like: Any) -> Any:
    """Write ``lanes`` bits as lanes / 4 numbers of 4 bits to ``array[index:]`` (uint8)."""
    if not (_is_flat(array) and array.dtype == types.uint8 and isinstance(like, Simd)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(64)
        value = args[2]
        for shift, mask in ((8, 0x00FF00FF), (4, 0x0F0F0F0F)):
            value = builder.or_(value, builder.shl(value, wide(shift)))
            value = builder.and_(value, wide(mask))
        target = ir.IntType(2 * like.lanes)
        data = context.make_array(array)(context, builder, args[0]).data
        pointer = builder.bitcast(builder.gep(data, [args[1]]), target.as_pointer())
        instruction = builder.store(builder.trunc(value, target), pointer)
        instruction.align = 1
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64, like), codegen


def _log_coefficients(degree: int) -> list[float]:
    """log(m) = 2 z P(z^2), z = (m-1)/(m+1), for m in [sqrt(1/2), sqrt(2)]: near-minimax P."""
    top = ((math.sqrt(2.0) - 1.0) / (math.sqrt(2.0) + 1.0)) ** 2
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    square = np.maximum(0.5 * top * (nodes + 1.0), 1e-30)
    z = np.sqrt(square)
    return _in_powers(chebyshev.chebfit(nodes, np.arctanh(z) / z, degree), top)


def _in_powers(series: Any, top: float) -> list[float]:
    """Coefficients in x of a Chebyshev series in 2 x / top - 1, lowest power first."""
    line = np.polynomial.Polynomial([-1.0, 2.0 / top])
    total = np.polynomial.Polynomial([0.0])
    for k, coefficient in enumerate(chebyshev.cheb2poly(series)):
        total = total + float(coefficient) * line**k
    return [float(c) for c in total.coef]


def _circle_coefficients(degree: int) -> tuple[list[float], list[float]]:
    """cos(pi t) and sin(pi t)/t as polynomials in t^2, |t| <= 1/2."""
    top = 0.25
    nodes = np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1))
    t = np.sqrt(np.maximum(0.5 * top * (nodes + 1.0), 1e-30))
    cosine = chebyshev.chebfit(nodes, np.cos(np.pi * t), degree)
    sine = chebyshev.chebfit(nodes, np.sin(np.pi * t) / t, degree)
    return _in_powers(cosine, top), _in_powers(sine, top)


# (polynomial, mantissa bits, bits of sqrt(1/2)) by precision.
_LOG = {
    64: (_log_coefficients(9), 52, 0x3FE6A09E667F3BCD),
    32: (_log_coefficients(4), 23, 0x3F3504F3),
}
_CIRCLE = {64: _circle_coefficients(9), 32: _circle_coefficients(5)}


def _power_coefficients(degree: int) -> list[float]:
    """2**x on [-1/2, 1/2], lowest power first."""
    rate = math.log(2.0)
    return [c * rate**k for k, c in enumerate(_exp_coefficients(degree))]


# (polynomial, mantissa bits, largest argument, round-to-integer constant) by precision.
_POWER = {
    64: (_power_coefficients(10), 52, 300.0, 6755399441055744.0),
    32: (_power_coefficients(6), 23, 30.0, 12582912.0),
}


class _Arithmetic:
    """Short names for the instructions of a polynomial on one vector type."""

    def __init__(self, builder: Any, vector: Any) -> None:
        self.builder, self.vector = builder, vector

    def const(self, value: float) -> Any:
        return ir.Constant(self.vector, [value] * self.vector.count)

    def add(self, a: Any, b: Any) -> Any:
        return self.builder.fadd(a, b, flags=FLAGS)

    def sub(self, a: Any, b: Any) -> Any:
        return self.builder.fsub(a, b, flags=FLAGS)

    def mul(self, a: Any, b: Any) -> Any:
        return self.builder.fmul(a, b, flags=FLAGS)

    def polynomial(self, coefficients: list[float], x: Any) -> Any:
        result = self.const(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = self.add(self.mul(result, x), self.const(coefficient))
        return result


@intrinsic
def log(typingctx: Any, x: Any) -> Any:
    """Natural logarithm of every (normal, positive) lane, to a few units in the last place."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        poly, mantissa_bits, middle = _LOG[x.scalar.bitwidth]
        integers = ir.VectorType(ir.IntType(x.scalar.bitwidth), vector.count)
        do = _Arithmetic(builder, vector)

        def const(value: int) -> Any:
            return ir.Constant(integers, [value] * vector.count)

        # Subtracting the bits of sqrt(1/2) puts the border of the exponent there.
        bits = builder.sub(builder.bitcast(args[0], integers), const(middle))
        whole = builder.ashr(bits, const(mantissa_bits))
        rest = builder.and_(bits, const((1 << mantissa_bits) - 1))
        m = builder.bitcast(builder.add(rest, const(middle)), vector)
        one = do.const(1.0)
        z = builder.fdiv(do.sub(m, one), do.add(m, one), flags=FLAGS)
        series = do.polynomial(poly, do.mul(z, z))
        small = do.mul(do.add(z, z), series)
        scaled = do.mul(builder.sitofp(whole, vector), do.const(math.log(2.0)))
        return do.add(scaled, small)

    return x(x), codegen


@intrinsic
def exp_minus_twice(typingctx: Any, r: Any) -> Any:
    """exp(-2 r) for r >= 0, to be added to 1: a unit or two in the last place of the sum.

    Large r return a number far below that. Powers of two need no reduction in two parts: where
    r is so large that its product with 2 / log 2 is inexact, the result no longer matters.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        poly, mantissa_bits, largest, magic = _POWER[r.scalar.bitwidth]
        integers = ir.VectorType(ir.IntType(r.scalar.bitwidth), vector.count)
        do = _Arithmetic(builder, vector)
        high = do.const(largest)
        x = builder.select(builder.fcmp_ordered("<", args[0], high), args[0], high)
        rate = do.const(-2.0 / math.log(2.0))
        # Adding the magic constant rounds to an integer, left in the low mantissa bits.
        shifted = do.add(do.mul(x, rate), do.const(magic))
        rest = do.sub(do.mul(x, rate), builder.fsub(shifted, do.const(magic)))
        result = do.polynomial(poly, rest)
        exponent = builder.shl(
            builder.bitcast(shifted, integers),
            ir.Constant(integers, [mantissa_bits] * vector.count),
        )
        return builder.bitcast(builder.add(builder.bitcast(result, integers), exponent), vector)

    return r(r), codegen


@intrinsic
def unit_circle(typingctx: Any, u: Any) -> Any:
    """(cos, sin) of 2 pi u - pi for u in [0, 1]: a uniform point on the circle for uniform u."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        do = _Arithmetic(builder, vector)
        cosine, sine = _CIRCLE[u.scalar.bitwidth]
        t = do.sub(args[0], do.const(0.5))
        square = do.mul(t, t)
        c = do.polynomial(cosine, square)
        s = do.mul(t, do.polynomial(sine, square))
        # Doubling the angle: polynomials over a quarter turn to each side suffice.
        double_cosine = do.sub(do.mul(c, c), do.mul(s, s))
        double_sine = do.mul(do.mul(c, s), do.const(2.0))
        return context.make_tuple(builder, signature.return_type, (double_cosine, double_sine))

    return types.UniTuple(u, 2)(u), codegen
