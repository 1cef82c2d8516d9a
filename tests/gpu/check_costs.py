#!/usr/bin/env python3
"""Counts what a kernel of one warp costs, and compares it with what can be counted by hand.

    scripts/without-gpu.sh python3 tests/gpu/check_costs.py
"""
import ctypes
import os
import subprocess
import sys
import tempfile

KERNEL = """.version 9.0
.target sm_90
.address_size 64
.visible .entry costs(.param .u64 numbers)
.maxntid 32, 1, 1
{
	.reg .b32 %w<12>;
	.reg .f32 %f<2>;
	.reg .b64 %d<6>;
	.shared .align 16 .b8 words[2048];
	ld.param.u64 %d0, [numbers];
	mov.u32 %w0, %tid.x;
	mov.u32 %w1, words;
	shl.b32 %w2, %w0, 2;
	shl.b32 %w3, %w0, 3;
	shl.b32 %w4, %w0, 4;
	add.u32 %w2, %w1, %w2;
	add.u32 %w3, %w1, %w3;
	add.u32 %w4, %w1, %w4;
	st.shared.u32 [%w2], %w0;
	st.shared.u32 [%w3], %w0;
	ld.shared.v4.u32 {%w5, %w6, %w7, %w8}, [%w4];
	ld.shared.u32 %w9, [%w1];
	shl.b32 %w10, %w0, 5;
	add.u32 %w10, %w1, %w10;
	ld.shared.v4.u32 {%w5, %w6, %w7, %w8}, [%w10];
	mul.wide.u32 %d1, %w0, 4;
	mul.wide.u32 %d2, %w0, 32;
	add.u64 %d3, %d0, %d1;
	add.u64 %d4, %d0, %d2;
	ld.global.u32 %w5, [%d3];
	ld.global.u32 %w6, [%d4];
	mov.b32 %f0, 0f3F800000;
	fma.rn.f32 %f1, %f0, %f0, %f0;
	bar.sync 0;
	ret;
}
"""
SECTOR_BYTES = 32
# A word a lane, every second word, sixteen bytes a lane, one word for all, sixteen of every 32 bytes; of global memory
# neighbouring words, and a sector a lane.
WANTED = {
    "launches": 1, "blocks": 2, "threads": 32, "floats": 2, "products": 0, "shared-passes": 2 * (1 + 2 + 4 + 1 + 8),
    "shared-least": 2 * (1 + 1 + 4 + 1 + 4), "sectors": 2 * (4 + 32), "sectors-least": 2 * (4 + 4), "barriers": 2,
    "instructions": 2 * 26, "longest-warp": 26,
}


def launch():
    """Runs the kernel in two blocks; what it cost is written when this process ends."""
    numbers = (ctypes.c_uint32 * (256 + SECTOR_BYTES // 4))()
    # As a GPU's memory does they begin with a sector: what is found anywhere may lie across one more.
    first = -(-ctypes.addressof(numbers) // SECTOR_BYTES) * SECTOR_BYTES
    arguments = (ctypes.c_uint64 * 1)(first)
    run = ctypes.CDLL(os.environ["TSM_PTX_INTERPRETER"]).tsm_ptx_run
    sys.exit(run(b"costs", arguments, ctypes.c_size_t(8), (ctypes.c_uint * 3)(2, 1, 1), 32))


def main():
    """Launches it in a process of its own, and reads what is left of it."""
    if sys.argv[1:] == ["launch"]:
        launch()
    with tempfile.TemporaryDirectory() as folder:
        ptx, costs = os.path.join(folder, "costs.ptx"), os.path.join(folder, "costs")
        with open(ptx, "w", encoding="ascii") as file:
            file.write(KERNEL)
        variables = {**os.environ, "TSM_PTX": ptx, "TSM_PTX_COSTS": costs}
        subprocess.run([sys.executable, __file__, "launch"], env=variables, check=True)
        with open(costs, encoding="ascii") as file:
            head, line = (text.split() for text in file.read().splitlines())
    found = dict(zip(head[1:], line))
    wrong = {name: found.get(name) for name, count in WANTED.items() if found.get(name) != str(count)}
    print(f"{len(WANTED)} counts of costs, wrong: {wrong or 'none'}")
    sys.exit(found.get("kernel") != "costs" or bool(wrong))


if __name__ == "__main__":
    main()
