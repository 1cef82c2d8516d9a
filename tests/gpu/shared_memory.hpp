// A block's shared memory: its bytes, and who has touched which of them since when.
//
//   ─ access ─► inside? aligned? ─► (races are looked for) who else touched this cell since the last meeting? ─► bytes
#pragma once

#include "numbers.hpp"

#include <vector>

struct Warp;
struct Instruction;

enum class Use { LOAD, STORE };

// Who touches a cell that is no single thread: numbers that no thread has.
const int NOBODY = -1;
const int SEVERAL = -2;      // have read it
const int ATOMICALLY = -3;   // of these, the order is nobody's business
const int WHOLE_WARP = 100000;  // and the warp's number: all its lanes at once, as matrices are moved

// A copy into shared memory that was begun and is not there yet (copies.cpp).
struct Copy {
    u64 from;
    u32 to;
    u32 bytes;
    bool is_there;  // else zeros
    int group;
};

struct Touch {
    int who = NOBODY;
    int warp = NOBODY;
    u32 block_phase = 0;
    u32 warp_phase = 0;
};

// Two bytes, the smallest that threads share out among themselves.
struct Cell {
    Touch written;
    Touch read;
    int under_way_by = NOBODY;
    bool is_written = false;
};

struct SharedMemory {
    std::vector<u8> bytes;
    std::vector<Cell> cells;  // none where races are not looked for

    void begin(size_t count, bool checks_races);
    u8* access(const Warp& warp, const Instruction& it, int lane, u64 at, u32 count, Use use);
    u8* access_atomically(const Warp& warp, const Instruction& it, int lane, u64 at, u32 count);
    // By all lanes of the warp at once.
    u8* access_by_warp(const Warp& warp, const Instruction& it, u64 at, u32 count, Use use);
    // What a copy must not meet when it begins, and puts when it ends.
    void begin_copy(const Warp& warp, const Instruction& it, int lane, const Copy& copy);
    void end_copy(const Warp& warp, const Instruction& it, int lane, const Copy& copy);

private:
    u8* access_by(const Warp& warp, const Instruction& it, int lane, int who, u64 at, u32 count, Use use);
    void note(const Warp& warp, const Instruction& it, int lane, int who, u64 at, u32 count, Use use);
};
