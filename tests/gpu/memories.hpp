// Memory that the driver has handed out: where it lies, whose it is, and who has written it.
//
//   cuMemAlloc ─ take ─► Memory ◄─ find ─ every load and store of a kernel
//   cuMemFree  ─ give_back ─► filled with 0xDD, and an address of nothing
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

#include "numbers.hpp"

enum class Owner { DEVICE, HOST };

struct Memory {
    u64 base = 0;
    u64 bytes = 0;
    Owner owner = Owner::DEVICE;
    // Some kernel has stored here, so that a launch which begins early must not read it yet.
    std::atomic<bool> is_kernel_written = false;
    // Who stored last, a word of four bytes each (other_blocks.cpp). None before the first store that is looked at.
    std::once_flag has_writers;
    std::unique_ptr<std::atomic<u64>[]> writers;

    bool holds(u64 address) const { return address - base < bytes; }
    bool holds(u64 address, u64 count) const { return holds(address) && count <= bytes - (address - base); }
};

// Nothing changes here while a launch runs: the driver's lock is held over both.
struct Memories {
    std::map<u64, Memory> all;
    u64 taken_bytes = 0;

    // The one that holds this address, or null.
    Memory* find(u64 address);
    bool hold(u64 address, u64 bytes);
    // The address of new memory, filled with 0xCD; 0 where there is no more.
    u64 take(size_t bytes, Owner owner);
    // False where no memory begins.
    bool give_back(u64 base);
};

// As much as the device says it has.
const u64 DEVICE_BYTES = 8ull << 30;

Memories& memories();
