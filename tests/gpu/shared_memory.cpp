// Races in shared memory, found by what each cell remembers.
//
// Two touches of a cell, one of them a store, are a race unless something lies between them: a barrier of the block,
// or, between lanes of one warp, a `bar.warp.sync`. Both count phases, and a touch remembers those it was made in.
#include "shared_memory.hpp"

#include "block.hpp"
#include "fault.hpp"

static const u32 CELL_BYTES = 2;
static const int NEW_BYTE = 0xA5;

void SharedMemory::begin(size_t count, bool checks_races) {
    bytes.assign(count, NEW_BYTE);
    if (checks_races) cells.assign(count / CELL_BYTES + 8, Cell());
}

// Whether a touch lies before `who` of this warp by a barrier, or is its own.
static bool is_before(const Touch& touch, const Warp& warp, int who) {
    if (touch.who == NOBODY || touch.who == who) return true;
    if (touch.block_phase != warp.block->phase) return true;
    return touch.warp == warp.number && touch.warp_phase != warp.phase;
}

static Touch touch_by(const Warp& warp, int who) { return Touch{who, warp.number, warp.block->phase, warp.phase}; }

static void note_load(Cell& cell, const Warp& warp, int who) {
    const Touch before = cell.read;
    cell.read = touch_by(warp, who);
    if (is_before(before, warp, who)) return;
    cell.read.who = SEVERAL;
    if (before.warp != warp.number) cell.read.warp = SEVERAL;
}

void SharedMemory::note(const Warp& warp, const Instruction& it, int lane, int who, u64 at, u32 count, Use use) {
    const bool is_store = use == Use::STORE;
    for (u64 c = at / CELL_BYTES; c < (at + count + CELL_BYTES - 1) / CELL_BYTES; ++c) {
        Cell& cell = cells[c];
        if (cell.under_way_by != NOBODY) fault(warp, it, lane, "shared memory is touched with a copy under way", at);
        if (!is_before(cell.written, warp, who)) {
            const char* race = is_store ? "write-write race" : "read-after-write race";
            fault(warp, it, lane, (string(race) + " in shared memory").c_str(), at);
        }
        if (is_store) {
            if (!is_before(cell.read, warp, who)) fault(warp, it, lane, "write-after-read race in shared memory", at);
            cell.written = touch_by(warp, who);
            cell.is_written = true;
        } else {
            if (!cell.is_written) fault(warp, it, lane, "read of shared memory that nobody wrote", at);
            note_load(cell, warp, who);
        }
    }
}

u8* SharedMemory::access_by(const Warp& warp, const Instruction& it, int lane, int who, u64 at, u32 count, Use use) {
    if (!is_aligned(at, count)) fault(warp, it, lane, "misaligned access of shared memory", at);
    if (at > bytes.size() || count > bytes.size() - at)
        fault(warp, it, lane, "access behind the end of shared memory", at);
    if (!cells.empty()) note(warp, it, lane, who, at, count, use);
    return bytes.data() + at;
}

u8* SharedMemory::access(const Warp& warp, const Instruction& it, int lane, u64 at, u32 count, Use use) {
    return access_by(warp, it, lane, warp.number * 32 + lane, at, count, use);
}

u8* SharedMemory::access_atomically(const Warp& warp, const Instruction& it, int lane, u64 at, u32 count) {
    return access_by(warp, it, lane, ATOMICALLY, at, count, Use::STORE);
}

u8* SharedMemory::access_by_warp(const Warp& warp, const Instruction& it, u64 at, u32 count, Use use) {
    return access_by(warp, it, 0, WHOLE_WARP + warp.number, at, count, use);
}

void SharedMemory::begin_copy(const Warp& warp, const Instruction& it, int lane, const Copy& copy) {
    if (!is_aligned(copy.to, copy.bytes)) fault(warp, it, lane, "misaligned target of a copy", copy.to);
    if (copy.to > bytes.size() || copy.bytes > bytes.size() - copy.to)
        fault(warp, it, lane, "a copy behind the end of shared memory", copy.to);
    if (cells.empty()) return;
    const int who = warp.number * 32 + lane;
    for (u32 c = copy.to / CELL_BYTES; c < (copy.to + copy.bytes) / CELL_BYTES; ++c) {
        Cell& cell = cells[c];
        if (cell.under_way_by != NOBODY) fault(warp, it, lane, "two copies to one place", copy.to);
        if (!is_before(cell.read, warp, who)) fault(warp, it, lane, "a copy over what is being read", copy.to);
        if (!is_before(cell.written, warp, who)) fault(warp, it, lane, "a copy over what is being written", copy.to);
        cell.under_way_by = who;
    }
}

void SharedMemory::end_copy(const Warp& warp, const Instruction& it, int lane, const Copy& copy) {
    if (!cells.empty()) {
        for (u32 c = copy.to / CELL_BYTES; c < (copy.to + copy.bytes) / CELL_BYTES; ++c)
            cells[c].under_way_by = NOBODY;
    }
    u8* to = access(warp, it, lane, copy.to, copy.bytes, Use::STORE);
    if (copy.is_there)
        std::memcpy(to, (const void*)copy.from, copy.bytes);
    else
        std::memset(to, 0, copy.bytes);
}
