// What a launch costs by counts, which need no clock and are the same on a GPU: instructions of warps, passes over the
// banks of shared memory, sectors of global memory; and the fewest that the same bytes could have been had for.
#pragma once

#include "numbers.hpp"

struct Launch;
struct Warp;
struct Instruction;
struct Statement;

// What an instruction keeps busy.
enum class Unit : u8 { OTHER, FLOAT, PRODUCT, GLOBAL, SHARED, COPY, FACTOR, SUMS };

struct Costs {
    u64 instructions = 0;
    u64 floats = 0;    // fma, mul and add of f32, by warps
    u64 products = 0;  // of 16 x 16 x 16
    u64 shared_passes = 0, shared_least = 0;
    u64 global_sectors = 0, global_least = 0;  // of 32 bytes
    u64 barriers = 0;
    u64 longest_warp = 0;  // instructions of the one that has most

    void add(const Costs& other);
};

Unit unit_of(const Statement& statement);
// Before the instruction is run for these lanes, perhaps none.
void count_instruction(Warp& warp, const Instruction& it, u32 lanes);
// Written to TSM_PTX_COSTS when the process ends, a line for each kernel and grid.
void count_costs(const Launch& launch, const Costs& costs);
