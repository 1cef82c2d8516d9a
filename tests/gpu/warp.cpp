// One warp: its lanes run together as long as they stand at the same instruction.
//
//   paths   {at 3: lanes 0-7}   {at 9: lanes 8-31}          the one with the smallest `at` runs ...
//           {at 9: lanes 0-7}   {at 9: lanes 8-31}          ... until it reaches another, where the two become one
//
// Compilers lay most code out so that what branches meet at lies behind them: the smallest `at` first lets them meet.
// Where it does not, an instruction that names its lanes (`.sync`) holds the early ones up until the others are there.
#include <algorithm>
#include <climits>
#include <utility>

#include "block.hpp"
#include "copies.hpp"
#include "fault.hpp"

// Where a path that runs must stop: at others that wait, and before it passes others that do not.
struct Stops {
    int before = INT_MAX;
    bool has_waiting = false;
};

static bool is_lower(const Path& a, const Path& b) {
    return a.is_waiting != b.is_waiting ? b.is_waiting : a.at < b.at;
}

// The path to run now, with all lanes that stand where it does. One that is taken though it waits has waited in vain.
static Path take_path(Warp& warp, Stops* stops) {
    vector<Path>& paths = warp.paths;
    const auto lowest = std::min_element(paths.begin(), paths.end(), is_lower);
    Path taken = *lowest;
    paths.erase(lowest);
    for (size_t i = 0; i < paths.size();) {
        if (paths[i].at == taken.at) {
            taken.lanes |= paths[i].lanes;
            paths.erase(paths.begin() + i);
            continue;
        }
        if (paths[i].is_waiting)
            stops->has_waiting = true;
        else
            stops->before = std::min(stops->before, paths[i].at);
        ++i;
    }
    return taken;
}

static bool is_where_one_waits(const Warp& warp, int at) {
    const auto is_there = [at](const Path& path) { return path.is_waiting && path.at == at; };
    return std::any_of(warp.paths.begin(), warp.paths.end(), is_there);
}

// Whether lanes that the instruction names, and that have not ended, are elsewhere.
static bool misses_lanes(Warp& warp, const Instruction& it, u32 lanes) {
    const u32 members = registers_of<u32>(warp, it.members)[lowest_lane(lanes)];
    return (members & warp.lanes & ~warp.ended & ~lanes) != 0;
}

static u32 lanes_of(Warp& warp, const Instruction& it, u32 lanes) {
    if (it.predicate == NO_PLACE) return lanes;
    const u8* predicate = registers_of<u8>(warp, it.predicate);
    u32 are_set = 0;
    for (int lane = 0; lane < 32; ++lane) are_set |= (u32)(predicate[lane] & 1) << lane;
    return lanes & (it.is_predicate_negated ? ~are_set : are_set);
}

static void end_lanes(Warp& warp, const Instruction& it, u32 lanes) {
    for_lanes(lanes, [&](int lane) {
        end_copies_of(warp, it, lane, 0);
        const bool has_to_wait = warp.block->launch->is_early;
        if (has_to_wait && !(warp.waited >> lane & 1)) fault(warp, it, lane, "a thread ends without having waited", 0);
    });
    warp.ended |= lanes;
}

// Whether the path goes on; else its lanes are elsewhere now.
static bool leave_path(Warp& warp, const Instruction& it, u32 lanes, Path* path) {
    switch (it.flow) {
        case Flow::BRANCH:
            if (lanes == path->lanes) {
                path->at = it.target;
                return true;
            }
            if (lanes) {
                warp.paths.push_back({it.target, lanes});
                warp.paths.push_back({path->at + 1, path->lanes & ~lanes});
                return false;
            }
            break;
        case Flow::END:
            end_lanes(warp, it, lanes);
            path->lanes &= ~lanes;
            break;
        case Flow::BARRIER:
            warp.at_barrier |= lanes;
            if (lanes) warp.block->waiting.push_back({&warp, {path->at + 1, lanes}});
            path->lanes &= ~lanes;
            break;
        case Flow::NEXT:
            break;
    }
    ++path->at;
    return path->lanes != 0;
}

static void run_path(Warp& warp, Path path, const Stops& stops) {
    const Instruction* code = warp.block->kernel->code.data();
    bool has_waited = std::exchange(path.is_waiting, false);
    while (path.at < stops.before && !(stops.has_waiting && is_where_one_waits(warp, path.at))) {
        const Instruction& it = code[path.at];
        const u32 lanes = lanes_of(warp, it, path.lanes);
        if (it.flow == Flow::NEXT) {
            if (it.members != NO_PLACE && lanes && !has_waited && misses_lanes(warp, it, lanes)) {
                path.is_waiting = true;
                break;
            }
            has_waited = false;
            if (warp.block->costs) count_instruction(warp, it, lanes);
            if (lanes) it.action(warp, it, lanes);
            ++path.at;
        } else {
            if (warp.block->costs) count_instruction(warp, it, lanes);
            if (!leave_path(warp, it, lanes, &path)) return;
        }
    }
    warp.paths.push_back(path);
}

void run_warp(Warp& warp) {
    while (!warp.paths.empty()) {
        Stops stops;
        const Path path = take_path(warp, &stops);
        run_path(warp, path, stops);
    }
}
