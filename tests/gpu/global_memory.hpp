// Global memory as kernels see it: each load and store is looked at before it is done.
#pragma once
#include "shared_memory.hpp"

struct Memory;

u8* global_access(Warp& warp, const Instruction& it, int lane, u64 address, u32 bytes, Use use);
// Exempt from the order of blocks: atomic operations are what makes one.
u8* global_access_atomically(Warp& warp, const Instruction& it, int lane, u64 address, u32 bytes);

// other_blocks.cpp
void note_among_blocks(Warp& warp, const Instruction& it, int lane, Memory& memory, u64 address, u32 bytes, Use use);
