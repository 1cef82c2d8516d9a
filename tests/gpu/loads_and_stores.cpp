// ld and st, of numbers and of vectors of them, from global, shared and a thread's own memory; ld of parameters.
//
//   lane ─ address ─► checked as one access of all the vector's bytes ─► element by element ◄─► registers
//
// An address without a space (`ld.f32`) is taken for one of global memory: kernels here make no others.
#include "block.hpp"
#include "fault.hpp"
#include "global_memory.hpp"
#include "instructions.hpp"

enum class Space { GLOBAL, SHARED, LOCAL, PARAMETERS };

// In `manner`: numbers of a register that is wider than they are have their sign above them.
static const int HAS_SIGN = 1;

static u8* local_access(Warp& warp, const Instruction& it, int lane, u64 at, u32 bytes) {
    const u32 all = warp.block->kernel->local_bytes;
    if (!is_aligned(at, bytes)) fault(warp, it, lane, "misaligned access of local memory", at);
    if (at > all || bytes > all - at) fault(warp, it, lane, "access behind the end of local memory", at);
    return warp.local.data() + (size_t)lane * all + at;
}

static u8* parameter_access(Warp& warp, const Instruction& it, int lane, u64 at, u32 bytes) {
    const vector<u8>& parameters = warp.block->launch->parameters;
    if (at > parameters.size() || bytes > parameters.size() - at) fault(warp, it, lane, "no such parameter", at);
    return const_cast<u8*>(parameters.data()) + at;
}

template <Space SPACE>
static u8* access(Warp& warp, const Instruction& it, int lane, Use use) {
    const u64 at = address_of(warp, it.address, lane);
    const u32 bytes = it.count * it.width;
    switch (SPACE) {
        case Space::SHARED: return warp.block->shared.access(warp, it, lane, at, bytes, use);
        case Space::LOCAL: return local_access(warp, it, lane, at, bytes);
        case Space::PARAMETERS: return parameter_access(warp, it, lane, at, bytes);
        default: return global_access(warp, it, lane, at, bytes, use);
    }
}

// Of registers as wide as the numbers.
template <Space SPACE, class Word>
static void load(Warp& warp, const Instruction& it, u32 lanes) {
    const int count = it.count;
    const int* places = it.places.data();
    for_lanes(lanes, [&](int lane) {
        const u8* from = access<SPACE>(warp, it, lane, Use::LOAD);
        for (int i = 0; i < count; ++i, from += sizeof(Word))
            if (places[i] != NO_PLACE) std::memcpy(registers_of<Word>(warp, places[i]) + lane, from, sizeof(Word));
    });
}

// Of registers that are wider.
template <Space SPACE>
static void load_extended(Warp& warp, const Instruction& it, u32 lanes) {
    for_lanes(lanes, [&](int lane) {
        const u8* from = access<SPACE>(warp, it, lane, Use::LOAD);
        for (int i = 0; i < it.count; ++i, from += it.width) {
            if (it.places[i] == NO_PLACE) continue;
            u64 word = 0;
            std::memcpy(&word, from, it.width);
            put_word(warp, it.places[i], it.to_width, lane, extended(word, it.width, it.manner == HAS_SIGN));
        }
    });
}

template <Space SPACE, class Word>
static void store(Warp& warp, const Instruction& it, u32 lanes) {
    const int count = it.count, lane_bytes = it.to_width;
    const int* places = it.places.data();
    for_lanes(lanes, [&](int lane) {
        u8* to = access<SPACE>(warp, it, lane, Use::STORE);
        for (int i = 0; i < count; ++i, to += sizeof(Word))
            std::memcpy(to, warp.registers + places[i] + lane_bytes * lane, sizeof(Word));
    });
}

template <Space SPACE>
static Action load_of(const Instruction& it) {
    if (it.to_width != it.width) return load_extended<SPACE>;
    switch (it.width) {
        case 1: return load<SPACE, u8>;
        case 2: return load<SPACE, u16>;
        case 4: return load<SPACE, u32>;
        default: return load<SPACE, u64>;
    }
}

template <Space SPACE>
static Action store_of(const Instruction& it) {
    switch (it.width) {
        case 1: return store<SPACE, u8>;
        case 2: return store<SPACE, u16>;
        case 4: return store<SPACE, u32>;
        default: return store<SPACE, u64>;
    }
}

static Space space_of(const Statement& statement) {
    if (statement.has("shared")) return Space::SHARED;
    if (statement.has("local")) return Space::LOCAL;
    if (statement.has("param")) return Space::PARAMETERS;
    if (statement.has("const")) statement.refuse();
    return Space::GLOBAL;
}

static void make_access(Parser& parser, const Statement& statement, const string& registers, Instruction* made) {
    const Type type = statement.type();
    if (type.kind == Kind::NONE || type.kind == Kind::PREDICATE) statement.refuse();
    made->width = type.width;
    made->to_width = type.width;
    made->manner = type.kind == Kind::SIGNED ? HAS_SIGN : 0;
    made->places = parser.vector_of_any_width(registers, &made->to_width);
    made->count = statement.has("v2") ? 2 : statement.has("v4") ? 4 : 1;
    if ((int)made->places.size() != made->count || made->to_width < made->width) statement.refuse();
}

void make_load(Parser& parser, const Statement& statement, Instruction* made) {
    make_access(parser, statement, statement.operand(0), made);
    made->address = parser.address(statement.operand(1));
    switch (space_of(statement)) {
        case Space::GLOBAL: made->action = load_of<Space::GLOBAL>(*made); break;
        case Space::SHARED: made->action = load_of<Space::SHARED>(*made); break;
        case Space::LOCAL: made->action = load_of<Space::LOCAL>(*made); break;
        case Space::PARAMETERS: made->action = load_of<Space::PARAMETERS>(*made); break;
    }
}

void make_store(Parser& parser, const Statement& statement, Instruction* made) {
    make_access(parser, statement, statement.operand(1), made);
    made->address = parser.address(statement.operand(0));
    for (int place : made->places)
        if (place == NO_PLACE) statement.refuse();
    switch (space_of(statement)) {
        case Space::GLOBAL: made->action = store_of<Space::GLOBAL>(*made); break;
        case Space::SHARED: made->action = store_of<Space::SHARED>(*made); break;
        case Space::LOCAL: made->action = store_of<Space::LOCAL>(*made); break;
        case Space::PARAMETERS: statement.refuse();
    }
}
