// Whether an address is aligned, lies in a memory, and may be touched yet.
//
//   address ─ aligned? ─► in a memory? ─► all bytes of it? ─► begun early and not waited? ─► other blocks? ─► bytes
#include "global_memory.hpp"

#include "block.hpp"
#include "fault.hpp"
#include "memories.hpp"

// Addresses that come from null and an offset.
static const u64 NULL_PAGE_BYTES = 65536;

static bool has_waited(const Warp& warp, int lane) {
    return !warp.block->launch->is_early || (warp.waited >> lane & 1);
}

static u8* host_access(Warp& warp, const Instruction& it, int lane, u64 address, Use use) {
    if (address < NULL_PAGE_BYTES) fault(warp, it, lane, "access of null", address);
    if (use == Use::STORE && !has_waited(warp, lane)) fault(warp, it, lane, "store before the wait", address);
    return (u8*)address;
}

static Memory& memory_at(Warp& warp, const Instruction& it, int lane, u64 address) {
    Block& block = *warp.block;
    for (Memory* memory : block.seen)
        if (memory && memory->holds(address)) return *memory;
    Memory* found = memories().find(address);
    if (!found) fault(warp, it, lane, "access outside of any memory", address);
    block.seen[block.next_seen++ & 3] = found;
    return *found;
}

static Memory& checked(Warp& warp, const Instruction& it, int lane, u64 address, u32 bytes, Use use) {
    Memory& memory = memory_at(warp, it, lane, address);
    if (!memory.holds(address, bytes)) fault(warp, it, lane, "access across the end of a memory", address);
    if (use == Use::STORE) {
        if (!has_waited(warp, lane)) fault(warp, it, lane, "store before the wait", address);
        if (!memory.is_kernel_written.load(std::memory_order_relaxed)) memory.is_kernel_written = true;
    } else if (!has_waited(warp, lane) && memory.is_kernel_written.load(std::memory_order_relaxed)) {
        fault(warp, it, lane, "load before the wait of what kernels write", address);
    }
    return memory;
}

u8* global_access(Warp& warp, const Instruction& it, int lane, u64 address, u32 bytes, Use use) {
    if (!is_aligned(address, bytes)) fault(warp, it, lane, "misaligned access", address);
    if (warp.block->launch->is_on_host_memory) return host_access(warp, it, lane, address, use);
    Memory& memory = checked(warp, it, lane, address, bytes, use);
    if (warp.block->checks_races) note_among_blocks(warp, it, lane, memory, address, bytes, use);
    return (u8*)address;
}

u8* global_access_atomically(Warp& warp, const Instruction& it, int lane, u64 address, u32 bytes) {
    if (!is_aligned(address, bytes)) fault(warp, it, lane, "misaligned access", address);
    warp.block->has_done_atomics = true;
    if (warp.block->launch->is_on_host_memory) return host_access(warp, it, lane, address, Use::STORE);
    checked(warp, it, lane, address, bytes, Use::STORE);
    return (u8*)address;
}
