#!/usr/bin/env python3
"""Runs single instructions of PTX and compares them with what the manual says of them.

    scripts/without-gpu.sh python3 tests/gpu/check_instructions.py

Each instruction becomes a kernel of one warp. Corners are what is looked at: signs, overflow, shifts by too much,
numbers that are none, and conversions that have to be clamped.
"""
import ctypes
import os
import sys
import tempfile

NAN, INFINITE, ONE, TWO = 0x7FC00000, 0x7F800000, 0x3F800000, 0x40000000
LEAST_32, MOST_32, MINUS_1_32 = 0x80000000, 0x7FFFFFFF, 0xFFFFFFFF
MINUS_1_64 = 0xFFFFFFFFFFFFFFFF

# instruction, bits of its operands and of its result, operands, result
CHECKS = [
    ("min.s32", 32, 32, (MINUS_1_32, 1), MINUS_1_32),
    ("min.u32", 32, 32, (MINUS_1_32, 1), 1),
    ("max.s32", 32, 32, (MINUS_1_32, 1), 1),
    ("max.u64", 64, 64, (MINUS_1_64, 1), MINUS_1_64),
    ("div.s32", 32, 32, (LEAST_32, MINUS_1_32), LEAST_32),
    ("rem.s32", 32, 32, (0xFFFFFFF9, 4), 0xFFFFFFFD),
    ("mul.hi.s32", 32, 32, (MINUS_1_32, 2), MINUS_1_32),
    ("mul.hi.u32", 32, 32, (MINUS_1_32, 2), 1),
    ("mul.hi.s64", 64, 64, (MINUS_1_64, 2), MINUS_1_64),
    ("mul.hi.u64", 64, 64, (MINUS_1_64, MINUS_1_64), MINUS_1_64 - 1),
    ("mul.wide.s32", 32, 64, (MINUS_1_32, 2), MINUS_1_64 - 1),
    ("mul.wide.u32", 32, 64, (MINUS_1_32, 2), 0x1FFFFFFFE),
    ("abs.s32", 32, 32, (0xFFFFFFF9,), 7),
    ("fma.rn.f32", 32, 32, (TWO, TWO, ONE), 0x40A00000),
    ("add.rz.f32", 32, 32, (0x4B800000, 0x3FC00000), 0x4B800000),  # 2^24 + 1.5
    ("add.rp.f32", 32, 32, (0x4B800000, 0x3F000000), 0x4B800001),
    ("max.f32", 32, 32, (NAN, ONE), ONE),
    ("max.NaN.f32", 32, 32, (NAN, ONE), NAN),
    ("copysign.f32", 32, 32, (LEAST_32, ONE), 0xBF800000),
    ("prmt.b32", 32, 32, (0x33221100, 0x77665544, 0x7531), 0x77553311),
    ("prmt.b32", 32, 32, (0x80, 0, 0x8), 0x808080FF),
    ("cvt.s32.s8", 32, 32, (0x80,), 0xFFFFFF80),
    ("cvt.u32.u8", 32, 32, (0x1FF,), 0xFF),
    ("cvt.sat.u8.s32", 32, 32, (MINUS_1_32,), 0),
    ("cvt.sat.s8.s32", 32, 32, (300,), 127),
    ("cvt.sat.s8.s32", 32, 32, (LEAST_32,), 0xFFFFFF80),
    ("cvt.sat.u8.u32", 32, 32, (300,), 255),
    ("cvt.rzi.s32.f32", 32, 32, (0xC0200000,), 0xFFFFFFFE),  # -2.5
    ("cvt.rni.s32.f32", 32, 32, (0x40200000,), 2),
    ("cvt.rmi.s32.f32", 32, 32, (0xC0200000,), 0xFFFFFFFD),
    ("cvt.rzi.u32.f32", 32, 32, (0xC0200000,), 0),
    ("cvt.rzi.s32.f32", 32, 32, (INFINITE,), MOST_32),
    ("cvt.rzi.s32.f32", 32, 32, (NAN,), 0),
    ("cvt.rzi.u64.f32", 32, 64, (INFINITE,), MINUS_1_64),
    ("cvt.rzi.u64.f32", 32, 64, (0x5F400000,), 0xC000000000000000),
    ("cvt.rn.f32.u64", 64, 32, (MINUS_1_64,), 0x5F800000),
    ("cvt.rn.f32.s64", 64, 32, (MINUS_1_64,), 0xBF800000),
    ("cvt.rz.f32.u32", 32, 32, (MINUS_1_32,), 0x4F7FFFFF),
    ("cvt.sat.f32.f32", 32, 32, (TWO,), ONE),
    ("cvt.sat.f32.f32", 32, 32, (NAN,), 0),
]
SHIFTS = [
    ("shr.s32", 32, LEAST_32, 31, MINUS_1_32),
    ("shr.s32", 32, LEAST_32, 32, MINUS_1_32),
    ("shr.s32", 32, MOST_32, 99, 0),
    ("shr.u32", 32, LEAST_32, 31, 1),
    ("shr.b32", 32, LEAST_32, 32, 0),
    ("shr.s64", 64, 1 << 63, 64, MINUS_1_64),
    ("shl.b32", 32, 1, 32, 0),
    ("shl.b64", 64, 1, 63, 1 << 63),
]
# into 11111111: bits of a field, where they go, how many, what comes out
INSERTIONS = [(0xFFFFFFF0, 4, 8, 0x11111F01), (1, 31, 1, 0x91111111), (5, 31, 8, 0x91111111), (7, 3, 0, 0x11111111),
              (5, 0, 32, 5)]
# comparison, operands, whether it holds
COMPARISONS = [
    ("lt.s32", (MINUS_1_32, 1), True),
    ("lt.u32", (MINUS_1_32, 1), False),
    ("hs.u32", (MINUS_1_32, 1), True),
    ("eq.f32", (NAN, NAN), False),
    ("ne.f32", (NAN, ONE), False),
    ("equ.f32", (NAN, ONE), True),
    ("equ.f32", (TWO, ONE), False),
    ("neu.f32", (NAN, ONE), True),
    ("neu.f32", (ONE, ONE), False),
    ("lt.f32", (NAN, ONE), False),
    ("ltu.f32", (NAN, ONE), True),
    ("geu.f32", (ONE, NAN), True),
    ("gtu.f32", (ONE, TWO), False),
    ("num.f32", (ONE, TWO), True),
    ("nan.f32", (ONE, NAN), True),
]
# load of the bytes 80 ff 80 00 …, bits of the register, what is there then
LOADS = [
    ("ld.global.s8", 32, 0xFFFFFF80),
    ("ld.global.u8", 32, 0x80),
    ("ld.global.s16", 32, 0xFFFFFF80),
    ("ld.global.b16", 32, 0xFF80),
    ("ld.global.s32", 64, 0x0080FF80),
    ("ld.global.s8", 64, 0xFFFFFFFFFFFFFF80),
]


def kernel(number, lines):
    """A kernel that takes the addresses of its operands and of its result, which lines put into %to32 or %to64."""
    text = "\n".join(f"\t{line};" for line in lines)
    return f"""
.visible .entry check_{number}(.param .u64 from, .param .u64 to)
.maxntid 32, 1, 1
{{
\t.reg .pred %p<4>;
\t.reg .b32 %w<8>;
\t.reg .b64 %d<8>;
\tld.param.u64 %d6, [from];
\tld.param.u64 %d7, [to];
{text}
\tret;
}}"""


def registers(bits):
    return "%d" if bits == 64 else "%w"


def operands_of(bits, count):
    return [f"ld.global.u{bits} {registers(bits)}{i + 1}, [%d6+{8 * i}]" for i in range(count)]


def result(bits):
    return f"st.global.u{bits} [%d7], {registers(bits)}0"


def all_checks():
    """Name, lines, operands and result of each."""
    for name, bits, to_bits, operands, wanted in CHECKS:
        names = [f"{registers(to_bits)}0"] + [f"{registers(bits)}{i + 1}" for i in range(len(operands))]
        lines = operands_of(bits, len(operands)) + [f"{name} {', '.join(names)}", result(to_bits)]
        yield name, lines, operands, wanted
    for name, bits, value, count, wanted in SHIFTS:
        r = registers(bits)
        lines = operands_of(bits, 1) + ["ld.global.u32 %w5, [%d6+8]", f"{name} {r}0, {r}1, %w5", result(bits)]
        yield name, lines, (value, count), wanted
    for field, first, count, wanted in INSERTIONS:
        lines = operands_of(32, 2) + [f"bfi.b32 %w0, %w1, %w2, {first}, {count}", result(32)]
        yield "bfi.b32", lines, (field, 0x11111111), wanted
    for name, operands, wanted in COMPARISONS:
        lines = operands_of(32, 2) + [f"setp.{name} %p0|%p1, %w1, %w2", "selp.u32 %w3, 1, 0, %p0"]
        lines += ["selp.u32 %w4, 2, 0, %p1", "add.u32 %w0, %w3, %w4", result(32)]
        yield f"setp.{name}", lines, operands, 1 if wanted else 2
    for name, bits, wanted in LOADS:
        yield name, [f"{name} {registers(bits)}0, [%d6]", result(bits)], (0x0080FF80,), wanted


def check_one(run, number, operands):
    """What the kernel of this number makes of its operands."""
    numbers = (ctypes.c_uint64 * 4)(*operands)
    made = ctypes.c_uint64(0)
    arguments = (ctypes.c_uint64 * 2)(ctypes.addressof(numbers), ctypes.addressof(made))
    grid = (ctypes.c_uint * 3)(1, 1, 1)
    code = run(f"check_{number}".encode(), arguments, ctypes.c_size_t(16), grid, 32)
    if code != 0:
        sys.exit(f"check_instructions: kernel {number} ended with {code}")
    return made.value


def main():
    """Compares all, and ends with 1 where one differs."""
    checks = list(all_checks())
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(".version 9.0\n.target sm_90\n.address_size 64\n")
        file.writelines(kernel(i, check[1]) for i, check in enumerate(checks))
        file.flush()
        os.environ["TSM_PTX"] = file.name
        run = ctypes.CDLL(os.environ["TSM_PTX_INTERPRETER"]).tsm_ptx_run
        wrong = 0
        for i, (name, _, operands, wanted) in enumerate(checks):
            made = check_one(run, i, operands)
            if made != wanted:
                wrong += 1
                print(f"{name} of {', '.join(map(hex, operands))} is {made:#x}, not {wanted:#x}")
    print(f"{len(checks)} instructions, {wrong} wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
