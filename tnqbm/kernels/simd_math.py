"""More lane-wise functions for :mod:`tnqbm.kernels.simd`: selection, logarithm, points on a
circle."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from tnqbm.kernels.simd import FLAGS, Simd, _broadcast, _integer_vector, _is_flat, _pointer


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
def add_fixed(typingctx: Any, array: Any, index: Any, x: Any, scale: Any) -> Any:
    """Add floor(x scale + 1/2) of every lane to ``array[index + l]`` (int64), |x scale| < 2^50.

    Without the conversions to integers that only AVX-512 has for vectors.
    """
    if not (_is_flat(array) and array.dtype == types.int64 and isinstance(x, Simd)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.DoubleType(), x.lanes)
        integers = _integer_vector(vector)

        def const(value: float) -> Any:
            return ir.Constant(vector, [value] * x.lanes)

        wide = args[2] if x.scalar.bitwidth == 64 else builder.fpext(args[2], vector)
        factor = context.cast(builder, args[3], signature.args[3], types.float64)
        scaled = builder.fmul(wide, _broadcast(builder, factor, x.lanes))
        scaled = builder.fadd(scaled, const(0.5))
        # Adding 1.5 * 2^52 leaves the nearest integer in the low bits; it may be one too many.
        shifted = builder.fadd(scaled, const(ROUND))
        nearest = builder.fsub(shifted, const(ROUND))
        above = builder.sext(builder.fcmp_ordered(">", nearest, scaled), integers)
        magic = ir.Constant(integers, [ROUND_BITS] * x.lanes)
        whole = builder.add(builder.sub(builder.bitcast(shifted, integers), magic), above)
        pointer = _pointer(context, builder, array, args[0], args[1], integers)
        before = builder.load(pointer)
        before.align = 8
        after = builder.store(builder.add(before, whole), pointer)
        after.align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, x, types.float64), codegen


@intrinsic
def nearest(typingctx: Any, x: Any, scale: Any) -> Any:
    """Integers nearest to ``x scale``, as wide as floats, if below 2^51 (in single, 2^22)."""
    if not isinstance(x, Simd):
        return None
    result = Simd(types.int64 if x.scalar.bitwidth == 64 else types.int32)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, integers = args[0].type, context.get_value_type(result)
        magic = ir.Constant(vector, [_NEAREST[x.scalar.bitwidth][0]] * x.lanes)
        bits = ir.Constant(integers, [_NEAREST[x.scalar.bitwidth][1]] * x.lanes)
        factor = context.cast(builder, args[1], signature.args[1], x.scalar)
        scaled = builder.fmul(args[0], _broadcast(builder, factor, x.lanes), flags=FLAGS)
        shifted = builder.fadd(scaled, magic, flags=FLAGS)
        return builder.sub(builder.bitcast(shifted, integers), bits)

    return result(x, types.float64), codegen


@intrinsic
def four_bits(typingctx: Any, array: Any, index: Any) -> Any:
    """Integer whose bit l is ``array[index + l]`` (uint8, 0 or 1), l < 4."""
    if not (_is_flat(array) and array.dtype == types.uint8):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        data = context.make_array(array)(context, builder, args[0]).data
        loaded = builder.load(builder.bitcast(builder.gep(data, [args[1]]), word.as_pointer()))
        loaded.align = 1
        # Of the shifted copies that the product adds up, one has bit l in bit 24 + l; none carries.
        moved = builder.mul(loaded, word(1 << 24 | 1 << 17 | 1 << 10 | 1 << 3))
        return builder.zext(builder.lshr(moved, word(24)), ir.IntType(64))

    return types.int64(array, types.intp), codegen


@intrinsic
def add_integers(typingctx: Any, array: Any, index: Any, x: Any, shift: Any) -> Any:
    """Add the integers x 2^shift to ``array[index + l]`` (int64)."""
    if not (_is_flat(array) and array.dtype == types.int64 and Simd.of_integers(x)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = ir.VectorType(ir.IntType(64), x.lanes)
        wide = args[2] if x.scalar.bitwidth == 64 else builder.sext(args[2], integers)
        moved = builder.shl(wide, _broadcast(builder, args[3], x.lanes))
        pointer = _pointer(context, builder, array, args[0], args[1], integers)
        before = builder.load(pointer)
        before.align = 8
        after = builder.store(builder.add(before, moved), pointer)
        after.align = 8
        return context.get_dummy_value()

    return types.void(array, types.intp, x, types.int64), codegen


@intrinsic
def load_as(typingctx: Any, array: Any, index: Any, like: Any) -> Any:
    """``array[index + l]`` (float64), l < lanes, in the precision of another vector."""
    if not (_is_flat(array) and array.dtype == types.float64 and isinstance(like, Simd)):
        return None

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = ir.VectorType(ir.DoubleType(), like.lanes)
        numbers = builder.load(_pointer(context, builder, array, args[0], args[1], vector))
        numbers.align = 8
        if like.scalar.bitwidth == 64:
            return numbers
        return builder.fptrunc(numbers, context.get_value_type(like))

    return like(array, types.intp, like), codegen


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


# Interpolated at Chebyshev nodes, lowest power first, and written out for the reason given in
# :mod:`tnqbm.kernels.simd`.
LOG = {
    64: (
        0.666666666666667, 0.39999999999899505, 0.28571428625975487, 0.2222221113479508,
        0.18182889125261723, 0.15331721600556042, 0.14616449685043406,
    ),
    32: (0.6666668503957586, 0.3998878056602198, 0.2957994939197279),
}  # fmt: skip
"""(2 artanh(s)/s - 2)/s^2 in s^2, |s| <= (sqrt(2) - 1)/(sqrt(2) + 1), by bits of precision."""

COSINE = {
    64: (
        1.0, -4.934802200544676, 4.058712126416497, -1.335262768843447, 0.23533063012953284,
        -0.025806888737002202, 0.0019295562724817132, -0.00010456655338748738,
        4.149564353942586e-06,
    ),
    32: (
        0.999999999779154, -4.934802136928946, 4.058709154763134, -1.3352119493905503,
        0.2349370685950865, -0.024395932097550446,
    ),
}  # fmt: skip
"""cos(pi t) in t^2, |t| <= 1/2, by bits of precision."""

SINE = {
    64: (
        3.141592653589793, -5.167712780049969, 2.5501640398773007, -0.5992645293189447,
        0.0821458865731029, -0.007370430505916944, 0.0004662998161898394,
        -2.1903497074626018e-05, 7.697826768224191e-07,
    ),
    32: (
        3.141592653536132, -5.167712764593, 2.550163317938427, -0.599252186531583,
        0.08205035020147247, -0.007028303855203096,
    ),
}  # fmt: skip
"""sin(pi t)/t in t^2, |t| <= 1/2, by bits of precision."""

POWER = {
    64: (
        1.0, 0.69314718055995, 0.24022650695910097, 0.05550410866444772, 0.009618129107606888,
        0.0013333558230164974, 0.0001540353044173605, 1.5252657260200837e-05,
        1.321544258792169e-06, 1.0208690299958306e-07, 7.072585949269223e-09,
    ),
    32: (
        1.0, 0.6931472067028326, 0.24022650922288757, 0.05550327226670302, 0.009618056678524637,
        0.0013400428177615838, 0.0001546144469856913,
    ),
}  # fmt: skip
"""2**x, |x| <= 1/2, by bits of precision."""

# (mantissa bits, exponent bias, bits of sqrt(1/2), bits of 2**mantissa_bits, log 2 in two parts) by
# precision. Products of the first part with exponents are exact.
_LOG_REDUCTION = {
    64: (
        52, 1023, 0x3FE6A09E667F3BCD, 0x4330000000000000,
        (0.6931471803691238, 1.9082149292705877e-10),
    ),
    32: (23, 127, 0x3F3504F3, 0x4B000000, (0.693145751953125, 1.4286068203094172e-06)),
}  # fmt: skip

# (mantissa bits, largest argument, round-to-integer constant) by precision.
_POWER_REDUCTION = {64: (52, 300.0, 6755399441055744.0), 32: (23, 30.0, 12582912.0)}


ROUND = 6755399441055744.0
"""1.5 * 2^52: added to a number below 2^51, it rounds it to an integer."""

ROUND_BITS = 0x4338000000000000
"""The bits of :data:`ROUND`."""


# A number that rounds what is added to it to integers, and its bits, by precision.
_NEAREST = {64: (ROUND, ROUND_BITS), 32: (12582912.0, 0x4B400000)}


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

    def polynomial(self, coefficients: tuple[float, ...], x: Any) -> Any:
        result = self.const(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            result = self.add(self.mul(result, x), self.const(coefficient))
        return result


@intrinsic
def log(typingctx: Any, x: Any) -> Any:
    """Natural logarithm of every (normal, positive) lane, to 1.25 units in the last place.

    x = 2**k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), and with s = f / (2 + f)

        log(1 + f) = f - s (f - s^2 Q(s^2)),

    as in fdlibm: f is exact and s f small beside it, so it matters little whether products are
    fused with sums. The largest errors over 7 million arguments were 0.97 units with fused products
    (AVX-512, AVX2), 0.995 without (SSE2, AVX2 without FMA) and 0.954 in single precision.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        mantissa_bits, bias, middle, magic, (log2_high, log2_low) = _LOG_REDUCTION[
            x.scalar.bitwidth
        ]
        integers = ir.VectorType(ir.IntType(x.scalar.bitwidth), vector.count)
        do = _Arithmetic(builder, vector)

        def const(value: int) -> Any:
            return ir.Constant(integers, [value] * vector.count)

        # Adding the bits between sqrt(1/2) and 1 puts the border of the exponent at sqrt(1/2).
        moved = const((bias << mantissa_bits) - middle)
        bits = builder.add(builder.bitcast(args[0], integers), moved)
        rest = builder.and_(bits, const((1 << mantissa_bits) - 1))
        f = do.sub(builder.bitcast(builder.add(rest, const(middle)), vector), do.const(1.0))
        # As low mantissa bits of a large number, exponents become floats on every machine.
        biased = builder.or_(builder.lshr(bits, const(mantissa_bits)), const(magic))
        k = do.sub(builder.bitcast(biased, vector), do.const(float((1 << mantissa_bits) + bias)))
        s = builder.fdiv(f, do.add(f, do.const(2.0)), flags=FLAGS)
        square = do.mul(s, s)
        series = do.mul(square, do.polynomial(LOG[x.scalar.bitwidth], square))
        small = do.sub(do.mul(s, do.sub(f, series)), do.mul(k, do.const(log2_low)))
        return do.sub(do.mul(k, do.const(log2_high)), do.sub(small, f))

    return x(x), codegen


@intrinsic
def exp_minus_twice(typingctx: Any, r: Any) -> Any:
    """exp(-2 r) for r >= 0, to be added to 1: absolute error below 2 eps, the spacing above 1.

    Measured over 5 million arguments: 1.41 eps (1.51 without FMA; 0.7 in single precision).
    Large r return a number far below that. Powers of two need no reduction in two parts: where
    r is so large that its product with 2 / log 2 is inexact, the result no longer matters.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        mantissa_bits, largest, magic = _POWER_REDUCTION[r.scalar.bitwidth]
        integers = ir.VectorType(ir.IntType(r.scalar.bitwidth), vector.count)
        do = _Arithmetic(builder, vector)
        high = do.const(largest)
        x = builder.select(builder.fcmp_ordered("<", args[0], high), args[0], high)
        rate = do.const(-2.0 / math.log(2.0))
        # Adding the magic constant rounds to an integer, left in the low mantissa bits.
        shifted = do.add(do.mul(x, rate), do.const(magic))
        rest = do.sub(do.mul(x, rate), builder.fsub(shifted, do.const(magic)))
        result = do.polynomial(POWER[r.scalar.bitwidth], rest)
        exponent = builder.shl(
            builder.bitcast(shifted, integers),
            ir.Constant(integers, [mantissa_bits] * vector.count),
        )
        return builder.bitcast(builder.add(builder.bitcast(result, integers), exponent), vector)

    return r(r), codegen


@intrinsic
def unit_circle(typingctx: Any, u: Any) -> Any:
    """(cos, sin) of 2 pi u - pi for u in [0, 1]: a uniform point on the circle for uniform u.

    Absolute error below 4 eps, the spacing of numbers above 1. Measured over 4 million arguments:
    2.7 eps (3.3 without FMA), in single precision 3.5 (3.6).
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = args[0].type
        do = _Arithmetic(builder, vector)
        cosine, sine = COSINE[u.scalar.bitwidth], SINE[u.scalar.bitwidth]
        t = do.sub(args[0], do.const(0.5))
        square = do.mul(t, t)
        c = do.polynomial(cosine, square)
        s = do.mul(t, do.polynomial(sine, square))
        # Doubling the angle: polynomials over a quarter turn to each side suffice.
        double_cosine = do.sub(do.mul(c, c), do.mul(s, s))
        double_sine = do.mul(do.mul(c, s), do.const(2.0))
        return context.make_tuple(builder, signature.return_type, (double_cosine, double_sine))

    return types.UniTuple(u, 2)(u), codegen
