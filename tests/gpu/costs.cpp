// Counts what launches cost.
//
//   a warp's access ─ addresses of its lanes ─► shared: words by bank; the bank with most words is that many passes, of
//                                            │  eight bytes a lane for each half of the lanes, of sixteen for each quarter
//                                            └► global: sectors of 32 bytes that any lane touches
//
// Instructions are those of PTX: `ptxas` folds some into others, so that a GPU has a few fewer.
#include "costs.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <mutex>

#include "block.hpp"
#include "fault.hpp"
#include "settings.hpp"
#include "statement.hpp"

static const u64 BANKS = 32, WORD_BYTES = 4, SECTOR_BYTES = 32;
// A warp's bytes at the most: 32 lanes of 16.
static const int MOST_PIECES = 32 * 16 / 4;

void Costs::add(const Costs& other) {
    instructions += other.instructions;
    floats += other.floats;
    products += other.products;
    shared_passes += other.shared_passes;
    shared_least += other.shared_least;
    global_sectors += other.global_sectors;
    global_least += other.global_least;
    barriers += other.barriers;
    longest_warp = std::max(longest_warp, other.longest_warp);
}

static Unit unit_of_matrix(const Statement& statement) {
    if (statement.words[1] == "mma") return Unit::PRODUCT;
    return statement.words[2] == "a" || statement.words[2] == "b" ? Unit::FACTOR : Unit::SUMS;
}

Unit unit_of(const Statement& statement) {
    const string& root = statement.root();
    if (root == "wmma") return unit_of_matrix(statement);
    if (root == "cp" && statement.operands.size() > 2) return Unit::COPY;
    if (root == "ld" || root == "st") {
        if (statement.has("shared")) return Unit::SHARED;
        return statement.has("param") || statement.has("local") ? Unit::OTHER : Unit::GLOBAL;
    }
    const bool is_arithmetic = root == "fma" || root == "mul" || root == "add" || root == "sub";
    return is_arithmetic && statement.words.back() == "f32" ? Unit::FLOAT : Unit::OTHER;
}

// The pieces of memory, each `piece_bytes` long, that an access touches: every one once.
struct Pieces {
    std::array<u64, MOST_PIECES> numbers;
    int count = 0;

    void add(u64 at, u64 bytes, u64 piece_bytes) {
        for (u64 piece = at / piece_bytes; piece <= (at + bytes - 1) / piece_bytes; ++piece)
            numbers.at(count++) = piece;
    }

    void keep_once() {
        std::sort(numbers.begin(), numbers.begin() + count);
        count = std::unique(numbers.begin(), numbers.begin() + count) - numbers.begin();
    }
};

static void count_passes(Costs& costs, Pieces& words) {
    if (words.count == 0) return;
    words.keep_once();
    std::array<u64, BANKS> of_bank{};
    for (int i = 0; i < words.count; ++i) ++of_bank[words.numbers[i] % BANKS];
    costs.shared_passes += *std::max_element(of_bank.begin(), of_bank.end());
    costs.shared_least += (words.count + BANKS - 1) / BANKS;
}

// Wide accesses are served so many lanes at a time that their words fit on the banks.
static void count_shared(Costs& costs, Warp& warp, const Address& address, u64 bytes, u32 lanes) {
    const int at_once = 32 * WORD_BYTES / std::max(bytes, WORD_BYTES);
    for (int first = 0; first < 32; first += at_once) {
        Pieces words;
        const u32 served = (u32)((1ull << at_once) - 1) << first;
        for_lanes(lanes & served, [&](int lane) { words.add(address_of(warp, address, lane), bytes, WORD_BYTES); });
        count_passes(costs, words);
    }
}

static void count_global(Costs& costs, Warp& warp, const Address& address, u64 bytes, u32 lanes) {
    Pieces sectors, words;
    for_lanes(lanes, [&](int lane) {
        const u64 at = address_of(warp, address, lane);
        sectors.add(at, bytes, SECTOR_BYTES);
        words.add(at, bytes, WORD_BYTES);
    });
    sectors.keep_once();
    words.keep_once();
    costs.global_sectors += sectors.count;
    costs.global_least += (words.count * WORD_BYTES + SECTOR_BYTES - 1) / SECTOR_BYTES;
}

// A copy that brings zeros reads nothing.
static void count_copy(Costs& costs, Warp& warp, const Instruction& it, u32 lanes) {
    u32 reading = 0;
    for_lanes(lanes, [&](int lane) {
        const bool is_there = it.b == NO_PLACE || registers_of<u32>(warp, it.b)[lane] != 0;
        reading |= (u32)is_there << lane;
    });
    count_shared(costs, warp, it.address, it.count, lanes);
    count_global(costs, warp, it.source, it.count, reading);
}

// A matrix moves in four parts of eight rows: of factors eight halves wide, of sums eight f32.
static void count_matrix(Costs& costs, Warp& warp, const Instruction& it, u32 lanes) {
    if (!lanes) return;
    const u64 first = address_of(warp, it.address, lowest_lane(lanes));
    const u64 stride_bytes = (u64)registers_of<u32>(warp, it.b)[lowest_lane(lanes)] * it.width;
    for (int part = 0; part < 4; ++part) {
        Pieces words;
        for (int row = 0; row < 8; ++row)
            words.add(first + (part / 2 * 8 + row) * stride_bytes + part % 2 * 8 * it.width, 8 * it.width, WORD_BYTES);
        count_passes(costs, words);
    }
}

void count_instruction(Warp& warp, const Instruction& it, u32 lanes) {
    Costs& costs = *warp.block->costs;
    ++costs.instructions;
    costs.longest_warp = std::max(costs.longest_warp, ++warp.instructions);
    if (it.flow == Flow::BARRIER) ++costs.barriers;
    switch (it.unit) {
        case Unit::OTHER: break;
        case Unit::FLOAT: ++costs.floats; break;
        case Unit::PRODUCT: ++costs.products; break;
        case Unit::GLOBAL: count_global(costs, warp, it.address, it.count * it.width, lanes); break;
        case Unit::SHARED: count_shared(costs, warp, it.address, it.count * it.width, lanes); break;
        case Unit::COPY: count_copy(costs, warp, it, lanes); break;
        case Unit::FACTOR:
        case Unit::SUMS: count_matrix(costs, warp, it, lanes); break;
    }
}

struct LaunchCosts {
    u64 launches = 0;
    u64 blocks = 0, threads = 0;
    Costs costs;
};

// Of one launch, but for how many there were.
static void write_line(std::FILE* file, const string& name, const LaunchCosts& all) {
    const Costs& costs = all.costs;
    std::fputs(name.c_str(), file);
    for (u64 count : {all.launches, all.blocks, all.threads}) std::fprintf(file, " %llu", (unsigned long long)count);
    for (u64 sum : {costs.instructions, costs.floats, costs.products, costs.shared_passes, costs.shared_least,
                    costs.global_sectors, costs.global_least, costs.barriers})
        std::fprintf(file, " %llu", (unsigned long long)(sum / all.launches));
    std::fprintf(file, " %llu\n", (unsigned long long)costs.longest_warp);
}

struct AllCosts {
    std::mutex lock;
    std::map<string, LaunchCosts> of_launches;

    ~AllCosts() {
        if (!settings().costs_path || of_launches.empty()) return;
        std::FILE* file = std::fopen(settings().costs_path, "a");
        if (!file) {
            say("%s cannot be written", settings().costs_path);
            return;
        }
        std::fputs("# kernel grid launches blocks threads instructions floats products shared-passes shared-least sectors "
                   "sectors-least barriers longest-warp\n", file);
        for (const auto& [name, one] : of_launches) write_line(file, name, one);
        std::fclose(file);
    }
};

static AllCosts all_costs;

void count_costs(const Launch& launch, const Costs& costs) {
    const u32* grid = launch.grid;
    const string place = std::to_string(grid[0]) + "x" + std::to_string(grid[1]) + "x" + std::to_string(grid[2]);
    const std::lock_guard<std::mutex> guard(all_costs.lock);
    LaunchCosts& of_launch = all_costs.of_launches[launch.kernel->name + " " + place];
    ++of_launch.launches;
    of_launch.blocks = launch.blocks();
    of_launch.threads = launch.threads();
    of_launch.costs.add(costs);
}
