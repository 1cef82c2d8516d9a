// shfl.sync: lanes of a warp read each other's registers. As the PTX manual has it, 9.7.9.6, in its own letters.
#include "block.hpp"
#include "fault.hpp"
#include "instructions.hpp"

// In `variant`.
enum Direction { UP, DOWN, BUTTERFLY, INDEX };

struct Source {
    int lane;
    bool is_within;  // the segment; else a lane reads itself
};

static Source source_of(int direction, int lane, u32 b, u32 c) {
    const int step = b & 31;
    const u32 segment = c >> 8 & 31;
    const int last = (lane & segment) | (c & 31 & ~segment);
    const int first = lane & segment;
    switch (direction) {
        case UP: return {lane - step, lane - step >= last};
        case DOWN: return {lane + step, lane + step <= last};
        case BUTTERFLY: return {lane ^ step, (lane ^ step) <= last};
        default: return {(int)(first | (step & ~segment)), (int)(first | (step & ~segment)) <= last};
    }
}

static void shuffle(Warp& warp, const Instruction& it, u32 lanes) {
    u32 before[32];  // the result may be the same register
    std::memcpy(before, registers_of<u32>(warp, it.a), sizeof before);
    for_lanes(lanes, [&](int lane) {
        const u32 b = registers_of<u32>(warp, it.b)[lane];
        const u32 c = registers_of<u32>(warp, it.c)[lane];
        const Source source = source_of(it.variant, lane, b, c);
        const int from = source.is_within ? source.lane : lane;
        if (!(lanes >> from & 1)) fault(warp, it, lane, "shfl from a lane that is elsewhere", from);
        registers_of<u32>(warp, it.to)[lane] = before[from];
        if (it.second_to != NO_PLACE) registers_of<u8>(warp, it.second_to)[lane] = source.is_within;
    });
}

void make_shuffle(Parser& parser, const Statement& statement, Instruction* made) {
    made->variant = statement.has("up")     ? UP
                    : statement.has("down") ? DOWN
                    : statement.has("bfly") ? BUTTERFLY
                                            : INDEX;
    if (!statement.has("sync")) statement.refuse();
    parser.predicates(statement.operand(0), 4, made);
    made->a = parser.operand(statement.operand(1), 4);
    made->b = parser.operand(statement.operand(2), 4);
    made->c = parser.operand(statement.operand(3), 4);
    made->members = parser.operand(statement.operand(4), 4);
    made->action = shuffle;
}
