// Says what went wrong and where: kernel, line of the PTX, instruction, block, thread, and what memory is near.
#include "fault.hpp"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "block.hpp"
#include "memories.hpp"

// How far from a memory an address may lie for the memory to be named.
static const u64 NEAR_BYTES = 65536;

// Threads of the host that fault beside each other would mix their lines: only the first one writes, and ends all.
static void be_the_only_one() {
    static std::mutex* lock = new std::mutex;
    lock->lock();
}

static void say_where(const Warp& warp, const Instruction& it, int lane) {
    const Block& block = *warp.block;
    const Launch& launch = *block.launch;
    const Kernel& kernel = *launch.kernel;
    const string& text = kernel.texts[&it - kernel.code.data()];
    std::fprintf(stderr, "  kernel %s, line %d of the PTX: %s\n", kernel.name.c_str(), it.line, text.c_str());
    std::fprintf(
        stderr, "  block (%u %u %u) of (%u %u %u), thread %d, lane %d of warp %d%s\n", block.x, block.y, block.z,
        launch.grid[0], launch.grid[1], launch.grid[2], warp.number * 32 + lane, lane, warp.number,
        launch.is_early ? ", begun early" : ""
    );
}

static void say_what_is_near(u64 address) {
    for (const auto& [base, memory] : memories().all) {
        if (address + NEAR_BYTES < base || address >= base + memory.bytes + NEAR_BYTES) continue;
        std::fprintf(stderr, "  near the memory of %llu bytes at %llx\n", (unsigned long long)memory.bytes,
                     (unsigned long long)base);
    }
}

void fault(const Warp& warp, const Instruction& it, int lane, const char* what, u64 value) {
    be_the_only_one();
    std::fprintf(stderr, "PTX fault: %s (%llx)\n", what, (unsigned long long)value);
    say_where(warp, it, lane);
    say_what_is_near(value);
    std::fflush(stderr);
    std::abort();
}

void stop(const char* format, ...) {
    be_the_only_one();
    std::fprintf(stderr, "PTX fault: ");
    va_list values;
    va_start(values, format);
    std::vfprintf(stderr, format, values);
    va_end(values);
    std::fprintf(stderr, "\n");
    std::abort();
}

void say(const char* format, ...) {
    char line[512];
    va_list values;
    va_start(values, format);
    std::vsnprintf(line, sizeof line, format, values);
    va_end(values);
    std::fprintf(stderr, "PTX interpreter: %s\n", line);
}
