// cp.async: copies that a thread begins, closes groups of, and waits for by the number of groups that may be left.
//
//   cp.async ─► the lane's list ─ commit_group ─► its number ─ wait_group N ─► all but the last N groups are done
//
// Carried out as late as a GPU may: whoever reads without waiting, or changes the source meanwhile, sees it.
#include "copies.hpp"

#include "fault.hpp"
#include "global_memory.hpp"
#include "instructions.hpp"

void end_copies_of(Warp& warp, const Instruction& it, int lane, int but_last) {
    vector<Copy>& copies = warp.copies[lane];
    size_t done = 0;
    for (; done < copies.size() && copies[done].group < warp.copy_groups_ended[lane] - but_last; ++done)
        warp.block->shared.end_copy(warp, it, lane, copies[done]);
    copies.erase(copies.begin(), copies.begin() + done);
}

static void begin_copies(Warp& warp, const Instruction& it, u32 lanes) {
    for_lanes(lanes, [&](int lane) {
        const u32 bytes = it.count;
        const u32 asked = it.b == NO_PLACE ? bytes : registers_of<u32>(warp, it.b)[lane];
        if (asked != 0 && asked != bytes) fault(warp, it, lane, "a copy of a part", asked);
        const u64 from = address_of(warp, it.source, lane);
        if (!is_aligned(from, bytes)) fault(warp, it, lane, "misaligned source of a copy", from);
        if (asked) global_access(warp, it, lane, from, bytes, Use::LOAD);
        const u32 to = address_of(warp, it.address, lane);
        const Copy copy = {from, to, bytes, asked != 0, warp.copy_groups_ended[lane]};
        warp.block->shared.begin_copy(warp, it, lane, copy);
        warp.copies[lane].push_back(copy);
    });
}

static void end_group(Warp& warp, const Instruction&, u32 lanes) {
    for_lanes(lanes, [&](int lane) { ++warp.copy_groups_ended[lane]; });
}

static void wait_for_groups(Warp& warp, const Instruction& it, u32 lanes) {
    for_lanes(lanes, [&](int lane) { end_copies_of(warp, it, lane, it.count); });
}

// What is in no group yet is waited for, too.
static void wait_for_all(Warp& warp, const Instruction& it, u32 lanes) {
    end_group(warp, it, lanes);
    for_lanes(lanes, [&](int lane) { end_copies_of(warp, it, lane, 0); });
}

void make_copy(Parser& parser, const Statement& statement, Instruction* made) {
    if (statement.words.size() < 3 || statement.words[1] != "async") statement.refuse();
    const string& what = statement.words[2];
    if (what == "commit_group") {
        made->action = end_group;
    } else if (what == "wait_all") {
        made->action = wait_for_all;
    } else if (what == "wait_group") {
        made->count = std::atoi(statement.operand(0).c_str());
        made->action = wait_for_groups;
    } else if (what == "ca" || what == "cg") {
        made->address = parser.address(statement.operand(0));
        made->source = parser.address(statement.operand(1));
        made->count = std::atoi(statement.operand(2).c_str());
        if (statement.operands.size() > 3) made->b = parser.operand(statement.operand(3), 4);
        if (made->count != 4 && made->count != 8 && made->count != 16) statement.refuse();
        made->action = begin_copies;
    }
}
