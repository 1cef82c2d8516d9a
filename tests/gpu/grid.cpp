// A launch: its blocks, on several threads of the host, in no order that a kernel could rely on.
#include <atomic>
#include <chrono>
#include <thread>

#include "block.hpp"
#include "fault.hpp"
#include "settings.hpp"
#include "statistics.hpp"

// Of static and dynamic shared memory, without asking the driver for more.
static const u32 MOST_SHARED_BYTES = 48 * 1024;

static std::atomic<u32> launches{0};

static void run_blocks(const Launch& launch, std::atomic<u64>& next, Costs* costs) {
    Block block;
    block.costs = costs;
    vector<Warp> warps;
    vector<u8> registers;
    block.launch = &launch;
    block.kernel = launch.kernel;
    for (u64 taken = next++; taken < launch.blocks(); taken = next++) {
        const u64 number = settings().is_reversed ? launch.blocks() - 1 - taken : taken;
        block.number = number;
        block.x = number % launch.grid[0];
        block.y = number / launch.grid[0] % launch.grid[1];
        block.z = number / launch.grid[0] / launch.grid[1];
        begin_block(block, warps, registers);
        run_block(block, warps);
    }
}

static void run_on_threads(const Launch& launch) {
    std::atomic<u64> next{0};
    const u64 count = std::min<u64>(settings().threads, launch.blocks());
    const bool is_counting = settings().costs_path != nullptr;
    vector<Costs> costs(count);
    vector<std::thread> others;
    for (u64 i = 1; i < count; ++i)
        others.emplace_back([&, i] { run_blocks(launch, next, is_counting ? &costs[i] : nullptr); });
    run_blocks(launch, next, is_counting ? &costs[0] : nullptr);
    for (std::thread& other : others) other.join();
    for (u64 i = 1; i < count; ++i) costs[0].add(costs[i]);
    if (is_counting) count_costs(launch, costs[0]);
}

void run_launch(const Launch& asked) {
    Launch launch = asked;
    launch.number = ++launches;
    Kernel& kernel = *launch.kernel;
    std::call_once(kernel.is_parsed, [&] { parse_kernel(kernel); });
    if (kernel.shared_bytes + launch.dynamic_shared_bytes > MOST_SHARED_BYTES)
        stop("%s takes more than %u bytes of shared memory", kernel.name.c_str(), MOST_SHARED_BYTES);
    const auto begin = std::chrono::steady_clock::now();
    run_on_threads(launch);
    count_launch(kernel.name, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
}
