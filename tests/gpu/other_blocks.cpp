// Two blocks of one launch that touch the same global word, one of them with a store: nothing orders them but atomics.
//
//   word of four bytes ─ writers[word] ─► launch, bytes, block that stored there last
//
// A block that has done an atomic operation is not looked at any more: it may know by it that the other one is done, as
// the last of a tile's splits does. So what is found is wrong, and not all that is wrong is found.
#include <string>

#include "block.hpp"
#include "fault.hpp"
#include "global_memory.hpp"
#include "memories.hpp"

// A writer is one number, so that blocks on several threads of the host exchange it at once.
static const int BYTES_AT = 32;
static const int LAUNCH_AT = 36;
static const u32 LAUNCHES = 1u << 28;  // that are told apart; a word that was left for longer is no danger

static u64 launch_of(u64 writer) { return writer >> LAUNCH_AT; }
static u64 bytes_of(u64 writer) { return writer >> BYTES_AT & 15; }
static u32 block_of(u64 writer) { return (u32)writer; }

static std::atomic<u64>* writers_of(Memory& memory) {
    std::call_once(memory.has_writers, [&] { memory.writers.reset(new std::atomic<u64>[memory.bytes / 4 + 1]()); });
    return memory.writers.get();
}

void note_among_blocks(Warp& warp, const Instruction& it, int lane, Memory& memory, u64 address, u32 bytes, Use use) {
    const Block& block = *warp.block;
    if (block.has_done_atomics) return;
    std::atomic<u64>* writers = writers_of(memory);
    const u64 launch = block.launch->number % LAUNCHES;
    const u64 first = address - memory.base;
    for (u64 word = first / 4; word <= (first + bytes - 1) / 4; ++word) {
        const u64 own_bytes = bytes >= 4 ? 15 : ((1u << bytes) - 1) << first % 4;
        u64 before = writers[word].load(std::memory_order_relaxed);
        for (;;) {
            const bool is_of_another = launch_of(before) == launch && block_of(before) != block.number;
            if (is_of_another && (bytes_of(before) & own_bytes)) {
                const string what = use == Use::STORE ? "store over what another block of the launch has stored, block "
                                                      : "load of what another block of the launch has stored, block ";
                fault(warp, it, lane, (what + std::to_string(block_of(before))).c_str(), address);
            }
            if (use == Use::LOAD) break;
            // Who shares a word by halves is remembered by the last one's bytes alone.
            const u64 now = launch << LAUNCH_AT | own_bytes << BYTES_AT | block.number;
            if (writers[word].compare_exchange_weak(before, now, std::memory_order_relaxed)) break;
        }
    }
}
