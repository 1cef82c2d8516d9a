// Bits of words: fields of one, bytes and shifts of two beside each other.
#include <algorithm>

#include "elementwise.hpp"
#include "instructions.hpp"

static void make_operands(Parser& parser, const Statement& statement, int width, Instruction* made) {
    made->width = width;
    made->to = parser.operand(statement.operand(0), width);
    made->a = parser.operand(statement.operand(1), width);
}

template <class T>
static Action bit_field() {
    return ternary<T, T, u32, u32>([](T a, u32 first, u32 count) {
        first &= 255;
        count &= 255;
        const u64 shifted = first > 63 ? 0 : (u64)a >> first;
        return (T)(count < 64 ? shifted & ((1ull << count) - 1) : shifted);
    });
}

void make_bit_field(Parser& parser, const Statement& statement, Instruction* made) {
    const Type type = statement.type();
    if (type.kind != Kind::UNSIGNED) statement.refuse();
    make_operands(parser, statement, type.width, made);
    made->b = parser.operand(statement.operand(2), 4);
    made->c = parser.operand(statement.operand(3), 4);
    made->action = type.width == 8 ? bit_field<u64>() : bit_field<u32>();
}

// In `variant` where the field begins, in `manner` how many bits it has.
static void insert_field(Warp& warp, const Instruction& it, u32 lanes) {
    u32* to = registers_of<u32>(warp, it.to);
    const u32* field = registers_of<u32>(warp, it.a);
    const u32* others = registers_of<u32>(warp, it.b);
    const u32 bits = (u32)(((1ull << it.manner) - 1) << it.variant);
    for_lanes(lanes, [&](int lane) { to[lane] = (others[lane] & ~bits) | (field[lane] << it.variant & bits); });
}

static int literal(const Statement& statement, int index, u64 most) {
    u64 value = 0;
    if (!read_literal(statement.operand(index), 4, &value) || value > most) statement.refuse();
    return (int)value;
}

void make_field_insertion(Parser& parser, const Statement& statement, Instruction* made) {
    if (statement.operation != "bfi.b32") statement.refuse();
    made->to = parser.operand(statement.operand(0), 4);
    made->a = parser.operand(statement.operand(1), 4);
    made->b = parser.operand(statement.operand(2), 4);
    made->variant = literal(statement, 3, 31);
    made->manner = literal(statement, 4, 32);
    made->action = insert_field;
}

// Each byte of the result is one of the eight, chosen by four bits: three for which, one to spread its sign instead.
static u32 chosen_bytes(u32 a, u32 b, u32 choices) {
    const u64 both = a | (u64)b << 32;
    u32 chosen = 0;
    for (int i = 0; i < 4; ++i) {
        const u32 choice = choices >> 4 * i & 15;
        u32 byte = both >> 8 * (choice & 7) & 255;
        if (choice & 8) byte = byte & 128 ? 255 : 0;
        chosen |= byte << 8 * i;
    }
    return chosen;
}

static void make_three_words(Parser& parser, const Statement& statement, Instruction* made) {
    make_operands(parser, statement, 4, made);
    made->b = parser.operand(statement.operand(2), 4);
    made->c = parser.operand(statement.operand(3), 4);
}

void make_byte_choice(Parser& parser, const Statement& statement, Instruction* made) {
    if (statement.operation != "prmt.b32") statement.refuse();
    make_three_words(parser, statement, made);
    made->action = ternary<u32, u32, u32, u32>([](u32 a, u32 b, u32 c) { return chosen_bytes(a, b, c); });
}

template <bool IS_LEFT, bool WRAPS>
static Action funnel_shift() {
    return ternary<u32, u32, u32, u32>([](u32 a, u32 b, u32 bits) {
        const u64 both = a | (u64)b << 32;
        const u32 count = WRAPS ? bits & 31 : std::min(bits, 32u);
        return IS_LEFT ? (u32)(both << count >> 32) : (u32)(both >> count);
    });
}

void make_funnel_shift(Parser& parser, const Statement& statement, Instruction* made) {
    make_three_words(parser, statement, made);
    const bool wraps = statement.has("wrap");
    if (statement.has("l"))
        made->action = wraps ? funnel_shift<true, true>() : funnel_shift<true, false>();
    else if (statement.has("r"))
        made->action = wraps ? funnel_shift<false, true>() : funnel_shift<false, false>();
}
