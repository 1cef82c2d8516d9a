// Hands out memory of the host as the device's, and knows all of it.
#include "memories.hpp"

#include <cstdlib>

// So that new memory is never zero by chance, and what is read after it was given back is seen.
static const int NEW_BYTE = 0xCD;
static const int OLD_BYTE = 0xDD;

Memories& memories() {
    static Memories* all = new Memories;  // never destroyed: threads may outlive main()
    return *all;
}

Memory* Memories::find(u64 address) {
    auto behind = all.upper_bound(address);
    if (behind == all.begin()) return nullptr;
    Memory& memory = std::prev(behind)->second;
    return memory.holds(address) ? &memory : nullptr;
}

bool Memories::hold(u64 address, u64 bytes) {
    const Memory* memory = find(address);
    return memory && memory->holds(address, bytes);
}

u64 Memories::take(size_t bytes, Owner owner) {
    if (taken_bytes + bytes > DEVICE_BYTES) return 0;
    const size_t alignment = owner == Owner::HOST ? 4096 : 512;
    void* place = nullptr;
    if (posix_memalign(&place, alignment, bytes + 512)) return 0;
    std::memset(place, NEW_BYTE, bytes);
    Memory& memory = all[(u64)place];
    memory.base = (u64)place;
    memory.bytes = bytes;
    memory.owner = owner;
    taken_bytes += bytes;
    return memory.base;
}

bool Memories::give_back(u64 base) {
    const auto found = all.find(base);
    if (found == all.end()) return false;
    taken_bytes -= found->second.bytes;
    std::memset((void*)base, OLD_BYTE, found->second.bytes);
    all.erase(found);
    std::free((void*)base);
    return true;
}
