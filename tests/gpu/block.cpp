// One block: its warps run one after the other, each up to the barrier, until all have come there or ended.
//
//   warp 0 ────────┤        ├─────────►
//   warp 1         ├────────┤         ├─────────►        (backwards with TSM_PTX_REVERSE)
//                       barrier
//
// So a warp never sees what one behind it writes before the barrier; turned around, it sees all of it.
#include "block.hpp"

#include <algorithm>

#include "fault.hpp"
#include "settings.hpp"

static const int NEW_BYTE = 0xA5;

static void set_special_registers(Warp& warp) {
    const Block& block = *warp.block;
    const Launch& launch = *block.launch;
    const SpecialRegisters& special = block.kernel->special;
    const u32 blocks_place[3] = {block.x, block.y, block.z};
    for (u32 lane = 0; lane < 32; ++lane) {
        const u32 thread = warp.number * 32 + lane;
        const u32 threads_place[3] = {
            thread % launch.block[0],
            thread / launch.block[0] % launch.block[1],
            thread / launch.block[0] / launch.block[1],
        };
        for (int axis = 0; axis < 3; ++axis) {
            registers_of<u32>(warp, special.thread[axis])[lane] = threads_place[axis];
            registers_of<u32>(warp, special.block_size[axis])[lane] = launch.block[axis];
            registers_of<u32>(warp, special.block[axis])[lane] = blocks_place[axis];
            registers_of<u32>(warp, special.grid_size[axis])[lane] = launch.grid[axis];
        }
        registers_of<u32>(warp, special.lane)[lane] = lane;
    }
}

static void begin_warp(Block& block, Warp& warp, int number, u8* registers) {
    const Kernel& kernel = *block.kernel;
    const u32 threads = std::min(32u, block.launch->threads() - number * 32);
    warp.number = number;
    warp.block = &block;
    warp.registers = registers;
    std::memcpy(registers, kernel.first_registers.data(), kernel.first_registers.size());
    warp.lanes = threads == 32 ? ALL_LANES : (1u << threads) - 1;
    warp.ended = 0;
    warp.at_barrier = 0;
    warp.waited = 0;
    warp.phase = 1;
    warp.instructions = 0;
    warp.paths.assign(1, Path{0, warp.lanes});
    for (vector<Copy>& copies : warp.copies) copies.clear();
    std::fill(std::begin(warp.copy_groups_ended), std::end(warp.copy_groups_ended), 0);
    if (kernel.local_bytes) warp.local.assign((size_t)kernel.local_bytes * 32, NEW_BYTE);
    set_special_registers(warp);
}

void begin_block(Block& block, vector<Warp>& warps, vector<u8>& registers) {
    const Kernel& kernel = *block.kernel;
    const size_t warp_bytes = kernel.first_registers.size();
    block.checks_races = settings().checks_races;
    block.shared.begin(kernel.shared_bytes + block.launch->dynamic_shared_bytes, block.checks_races);
    block.phase = 1;
    block.has_done_atomics = false;
    block.waiting.clear();
    warps.resize((block.launch->threads() + 31) / 32);
    registers.resize(std::max(registers.size(), warp_bytes * warps.size() + 64));
    u8* aligned = (u8*)(((u64)registers.data() + 63) & ~63ull);
    for (size_t i = 0; i < warps.size(); ++i) begin_warp(block, warps[i], i, aligned + warp_bytes * i);
}

// All threads that have not ended have to stand at one and the same barrier.
static void check_barrier(const Block& block, const vector<Warp>& warps) {
    const Kernel& kernel = *block.kernel;
    const int first = block.waiting[0].second.at;
    for (const auto& [warp, path] : block.waiting) {
        if (path.at == first) continue;
        stop("threads of one block stand at different barriers in %s, lines %d and %d of the PTX", kernel.name.c_str(),
             kernel.code[first - 1].line, kernel.code[path.at - 1].line);
    }
    for (const Warp& warp : warps) {
        if ((warp.at_barrier | warp.ended) != warp.lanes)
            stop("the barrier hangs in %s, line %d of the PTX", kernel.name.c_str(), kernel.code[first - 1].line);
        if (warp.ended && warp.at_barrier && settings().is_verbose)
            say("a warp of which some lanes have ended is at a barrier in %s", kernel.name.c_str());
    }
}

void run_block(Block& block, vector<Warp>& warps) {
    for (;;) {
        for (size_t i = 0; i < warps.size(); ++i) run_warp(warps[settings().is_reversed ? warps.size() - 1 - i : i]);
        if (block.waiting.empty()) return;
        check_barrier(block, warps);
        ++block.phase;
        for (auto& [warp, path] : block.waiting) {
            warp->at_barrier = 0;
            warp->paths.push_back(path);
        }
        block.waiting.clear();
    }
}
