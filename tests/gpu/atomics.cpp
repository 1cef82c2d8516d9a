// atom and red: read, change and write that no other thread comes between. Here one at a time, whatever the address.
#include <algorithm>
#include <iterator>
#include <mutex>

#include "block.hpp"
#include "global_memory.hpp"
#include "instructions.hpp"

struct Change {
    const char* name;
    u64 (*of)(u64 old, u64 b, u64 c);
};

template <class T>
static u64 sum(u64 old, u64 b, u64) {
    return bits_of((T)((Wider<T>)from_bits<T>(old) + (Wider<T>)from_bits<T>(b)));
}

// In `variant`, an index of these; in `manner`, whether the memory is shared.
static const Change CHANGES[] = {
    {"add", [](u64 old, u64 b, u64) { return old + b; }},
    {"inc", [](u64 old, u64 b, u64) { return old >= b ? 0 : old + 1; }},
    {"exch", [](u64, u64 b, u64) { return b; }},
    {"cas", [](u64 old, u64 b, u64 c) { return old == b ? c : old; }},
    {"add.f16", sum<half_t>},
    {"add.f32", sum<float>},
    {"add.f64", sum<double>},
};

static std::mutex one_at_a_time;

static void change(Warp& warp, const Instruction& it, u32 lanes) {
    const std::lock_guard<std::mutex> guard(one_at_a_time);
    const Change& changed = CHANGES[it.variant];
    for_lanes(lanes, [&](int lane) {
        const u64 at = address_of(warp, it.address, lane);
        u8* place = it.manner ? warp.block->shared.access_atomically(warp, it, lane, at, it.width)
                              : global_access_atomically(warp, it, lane, at, it.width);
        u64 old = 0;
        std::memcpy(&old, place, it.width);
        const u64 c = it.c == NO_PLACE ? 0 : word_of(warp, it.c, it.width, lane);
        const u64 now = changed.of(old, word_of(warp, it.b, it.width, lane), c);
        std::memcpy(place, &now, it.width);
        if (it.to != NO_PLACE) put_word(warp, it.to, it.width, lane, old);
    });
}

static string name_of(const Statement& statement) {
    const Type type = statement.type();
    for (const char* name : {"inc", "exch", "cas"})
        if (statement.has(name) && type.is_integer()) return name;
    if (!statement.has("add")) statement.refuse();
    return type.is_integer() ? "add" : "add." + statement.words.back();
}

void make_atomic(Parser& parser, const Statement& statement, Instruction* made) {
    const bool has_result = statement.root() == "atom";
    const string name = name_of(statement);
    const auto is_it = [&](const Change& change) { return name == change.name; };
    const Change* found = std::find_if(std::begin(CHANGES), std::end(CHANGES), is_it);
    if (found == std::end(CHANGES)) statement.refuse();
    made->width = statement.type().width;
    made->manner = statement.has("shared");
    made->variant = found - CHANGES;
    if (has_result) made->to = parser.operand(statement.operand(0), made->width);
    made->address = parser.address(statement.operand(has_result));
    made->b = parser.operand(statement.operand(has_result + 1), made->width);
    if (name == "cas") made->c = parser.operand(statement.operand(has_result + 2), made->width);
    made->action = change;
}
