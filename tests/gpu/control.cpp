// Where a thread goes on, and what it waits for: branches, ends, barriers, fences, the launch ahead.
#include <atomic>

#include "block.hpp"
#include "fault.hpp"
#include "instructions.hpp"

void make_branch(Parser& parser, const Statement& statement, Instruction* made) {
    statement.allow({"uni"});
    made->flow = Flow::BRANCH;
    parser.branch_to(statement.operand(0));
}

void make_end(Parser&, const Statement& statement, Instruction* made) {
    statement.allow({"uni"});
    made->flow = Flow::END;
}

// Lanes of a warp meet: behind it they see what each of them has written.
static void meet_in_warp(Warp& warp, const Instruction& it, u32 lanes) {
    const u32 wanted = registers_of<u32>(warp, it.members)[lowest_lane(lanes)] & warp.lanes & ~warp.ended;
    if (wanted != lanes) fault(warp, it, lowest_lane(wanted & ~lanes), "bar.warp.sync with lanes missing", lanes);
    ++warp.phase;
}

// The block's barrier, number 0 and for all threads, is the only one.
void make_barrier(Parser& parser, const Statement& statement, Instruction* made) {
    if (statement.has("warp")) {
        made->members = parser.operand(statement.operand(0), 4);
        made->action = meet_in_warp;
        return;
    }
    statement.allow({"sync", "cta", "aligned"});
    if (!statement.has("sync") || statement.operands.size() != 1 || statement.operands[0] != "0") statement.refuse();
    made->flow = Flow::BARRIER;
}

void make_fence(Parser&, const Statement&, Instruction* made) {
    made->action = [](Warp&, const Instruction&, u32) { std::atomic_thread_fence(std::memory_order_seq_cst); };
}

static void wait_for_previous(Warp& warp, const Instruction& it, u32 lanes) {
    if (warp.waited & lanes) fault(warp, it, lowest_lane(warp.waited & lanes), "a thread waits twice", 0);
    warp.waited |= lanes;
}

void make_launch_order(Parser&, const Statement& statement, Instruction* made) {
    if (statement.has("wait"))
        made->action = wait_for_previous;
    else if (statement.has("launch_dependents"))
        made->action = [](Warp&, const Instruction&, u32) {};  // the next one begins at once in any case
}

void make_trap(Parser&, const Statement&, Instruction* made) {
    made->action = [](Warp& warp, const Instruction& it, u32 lanes) { fault(warp, it, lowest_lane(lanes), "trap", 0); };
}
