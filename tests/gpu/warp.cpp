// One warp: its lanes run together as long as they stand at the same instruction.
//
//   paths   {at 3: lanes 0-7}   {at 9: lanes 8-31}          the one with the smallest `at` runs ...
//           {at 9: lanes 0-7}   {at 9: lanes 8-31}          ... until it reaches another, where the two become one
//
// Compilers lay code out so that what branches meet at lies behind them; so the smallest `at` first lets them meet.
#include <algorithm>
#include <climits>

#include "block.hpp"
#include "copies.hpp"
#include "fault.hpp"

// The path to run now, with all lanes that stand where it does. `stop`: where the next other path stands.
static Path take_path(Warp& warp, int* stop) {
    vector<Path>& paths = warp.paths;
    const auto lower = [](const Path& a, const Path& b) { return a.at < b.at; };
    const auto lowest = std::min_element(paths.begin(), paths.end(), lower);
    Path taken = *lowest;
    paths.erase(lowest);
    *stop = INT_MAX;
    for (size_t i = 0; i < paths.size();) {
        if (paths[i].at == taken.at) {
            taken.lanes |= paths[i].lanes;
            paths.erase(paths.begin() + i);
        } else {
            *stop = std::min(*stop, paths[i].at);
            ++i;
        }
    }
    return taken;
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

static void run_path(Warp& warp, Path path, int stop) {
    const Instruction* code = warp.block->kernel->code.data();
    while (path.at < stop) {
        const Instruction& it = code[path.at];
        const u32 lanes = lanes_of(warp, it, path.lanes);
        if (it.flow == Flow::NEXT) {
            if (lanes) it.action(warp, it, lanes);
            ++path.at;
        } else if (!leave_path(warp, it, lanes, &path)) {
            return;
        }
    }
    warp.paths.push_back(path);
}

void run_warp(Warp& warp) {
    while (!warp.paths.empty()) {
        int stop;
        const Path path = take_path(warp, &stop);
        run_path(warp, path, stop);
    }
}
