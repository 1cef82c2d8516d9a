// A block of threads while it runs, its warps, and how instructions get at their lanes' registers.
//
//   Launch ─ grid.cpp ─► Block ─ block.cpp ─► Warps ─ warp.cpp ─► one instruction for those of 32 lanes that are there
#pragma once

#include <utility>

#include "kernel.hpp"
#include "shared_memory.hpp"

struct Memory;

struct Launch {
    Kernel* kernel = nullptr;
    u32 grid[3] = {1, 1, 1};
    u32 block[3] = {1, 1, 1};
    u32 dynamic_shared_bytes = 0;
    vector<u8> parameters;
    bool is_early = false;           // may begin before the launch ahead of it has ended
    bool is_on_host_memory = false;  // a test's own: its bounds are not known
    u32 number = 0;

    u32 threads() const { return block[0] * block[1] * block[2]; }
    u64 blocks() const { return (u64)grid[0] * grid[1] * grid[2]; }
};

// Lanes that stand at the same instruction.
struct Path {
    int at;
    u32 lanes;
    bool is_waiting = false;  // for other lanes to come here, too
};

struct Warp {
    int number = 0;
    struct Block* block = nullptr;
    u8* registers = nullptr;
    vector<u8> local;  // one lane's memory behind the other's
    u32 lanes = 0;     // those that the block has threads for
    u32 ended = 0;
    u32 at_barrier = 0;
    u32 waited = 0;  // for the launch ahead
    u32 phase = 1;   // grows whenever the warp's lanes meet
    int at = 0;
    u64 instructions = 0;  // run so far; counted where costs are
    vector<Path> paths;
    vector<Copy> copies[32];
    int copy_groups_ended[32] = {};
};

struct Block {
    const Launch* launch = nullptr;
    const Kernel* kernel = nullptr;
    u32 x = 0, y = 0, z = 0;
    u32 number = 0;
    u32 phase = 1;  // grows at each barrier
    bool checks_races = false;
    bool has_done_atomics = false;
    SharedMemory shared;
    Costs* costs = nullptr;  // null where nobody asks for them
    vector<std::pair<Warp*, Path>> waiting;
    Memory* seen[4] = {};  // those that were found last
    int next_seen = 0;
};

void begin_block(Block& block, vector<Warp>& warps, vector<u8>& registers);
void run_block(Block& block, vector<Warp>& warps);
// Runs a warp until each of its lanes has ended or stands at a barrier.
void run_warp(Warp& warp);
// Runs all blocks of a launch, on as many threads of the host as the settings say.
void run_launch(const Launch& launch);

const u32 ALL_LANES = ~0u;

template <class Body>
inline __attribute__((always_inline)) void for_lanes(u32 lanes, Body body) {
    if (lanes == ALL_LANES) {  // which the compiler makes vectors of
        for (int lane = 0; lane < 32; ++lane) body(lane);
        return;
    }
    for (int lane = 0; lane < 32; ++lane)
        if (lanes >> lane & 1) body(lane);
}

template <class T>
inline T* registers_of(Warp& warp, int place) {
    return (T*)(warp.registers + place);
}

// A register of any width, as a word.
inline u64 word_of(const Warp& warp, int place, int width, int lane) {
    u64 word = 0;
    std::memcpy(&word, warp.registers + place + width * lane, width);
    return word;
}

inline void put_word(Warp& warp, int place, int width, int lane, u64 word) {
    std::memcpy(warp.registers + place + width * lane, &word, width);
}

inline u64 address_of(const Warp& warp, const Address& address, int lane) {
    if (address.base == NO_PLACE) return address.offset;
    const u8* base = warp.registers + address.base;
    return address.offset + (address.base_width == 8 ? ((const u64*)base)[lane] : ((const u32*)base)[lane]);
}
