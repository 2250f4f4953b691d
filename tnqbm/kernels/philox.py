"""The counter-based random number generator Philox4x32-10 for SIMD kernels.

A uniform number is a function of a 64-bit key and four 32-bit counters, here (chain, sweep low,
sweep high, site); nothing is stored between draws (Salmon, Moraes, Dror & Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC11).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from tnqbm.kernels.simd import Simd

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
ROUNDS = 10


def draws_per_call(dtype: Any) -> int:
    """Uniform vectors that one call of :func:`uniforms` returns: 2 in double precision, else 4."""
    return 2 if np.dtype(dtype).itemsize == 8 else 4


@intrinsic
def uniforms(
    typingctx: Any,
    key: Any,
    chain: Any,
    chain_step: Any,
    sweep: Any,
    site: Any,
    site_step: Any,
    like: Any,
) -> Any:
    """Vectors of numbers uniform in (0, 1): a tuple of two (double) or four (single precision).

    Lane l belongs to chain ``chain + l * chain_step`` and site ``site + l * site_step``. Single
    precision takes 23 bits of one 32-bit word a number, double 52 bits of two words; half a unit
    is added, so that 0 and 1 never come up.
    """
    if not isinstance(like, Simd):
        return None
    double = like.scalar.bitwidth == 64
    result = types.UniTuple(like, 2 if double else 4)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        count = like.lanes
        word, wide = ir.IntType(32), ir.IntType(64)
        words, wides = ir.VectorType(word, count), ir.VectorType(wide, count)

        def const(value: int) -> Any:
            return ir.Constant(wides, [value] * count)

        def broadcast(scalar: Any) -> Any:
            undefined = ir.Constant(wides, ir.Undefined)
            one = builder.insert_element(undefined, scalar, word(0))
            mask = ir.Constant(ir.VectorType(word, count), [0] * count)
            return builder.shuffle_vector(one, undefined, mask)

        def low(value: Any) -> Any:
            return builder.and_(value, const((1 << 32) - 1))

        def high(value: Any) -> Any:
            return builder.lshr(value, const(32))

        lane = ir.Constant(wides, list(range(count)))

        def counter(start: Any, step: Any) -> Any:
            return builder.add(broadcast(start), builder.mul(lane, broadcast(step)))

        # Words live in 64-bit lanes, where only the low half of a factor enters a product: what
        # the high halves hold does not matter before the end.
        seed, first_chain, chain_stride, clock, first_site, site_stride, _ = args
        c = [
            counter(first_chain, chain_stride),
            broadcast(clock),
            high(broadcast(clock)),
            counter(first_site, site_stride),
        ]
        keys = [seed, builder.lshr(seed, wide(32))]
        for turn in range(ROUNDS):
            if turn:
                keys = [builder.add(k, wide(w)) for k, w in zip(keys, WEYL, strict=True)]
            products = [
                builder.mul(low(value), const(multiplier))
                for value, multiplier in zip((c[0], c[2]), MULTIPLIERS, strict=True)
            ]
            c = [
                builder.xor(builder.xor(high(products[1]), c[1]), broadcast(keys[0])),
                products[1],
                builder.xor(builder.xor(high(products[0]), c[3]), broadcast(keys[1])),
                products[0],
            ]
        vector = context.get_value_type(like)
        if double:
            found = [_double(builder, vector, wides, c[k], low(c[k + 1])) for k in (0, 2)]
        else:
            found = [_single(builder, vector, words, builder.trunc(value, words)) for value in c]
        return cgutils.pack_array(builder, found)

    return result(
        types.uint64, types.int64, types.int64, types.int64, types.int64, types.int64, like
    ), codegen


def _double(builder: Any, vector: Any, wides: Any, first: Any, second: Any) -> Any:
    """52 bits of two words as the mantissa of a number in [1, 2), shifted to (0, 1)."""
    count = wides.count

    def const(value: int) -> Any:
        return ir.Constant(wides, [value] * count)

    bits = builder.or_(builder.shl(first, const(32)), second)
    bits = builder.or_(builder.lshr(bits, const(12)), const(0x3FF << 52))
    offset = ir.Constant(vector, [1.0 - 2.0**-53] * count)
    return builder.fsub(builder.bitcast(bits, vector), offset)


def _single(builder: Any, vector: Any, words: Any, value: Any) -> Any:
    """23 bits of a word as the mantissa of a number in [1, 2), shifted to (0, 1)."""
    count = words.count

    def const(bits: int) -> Any:
        return ir.Constant(words, [bits] * count)

    bits = builder.or_(builder.lshr(value, const(9)), const(0x7F << 23))
    offset = ir.Constant(vector, [1.0 - 2.0**-24] * count)
    return builder.fsub(builder.bitcast(bits, vector), offset)
