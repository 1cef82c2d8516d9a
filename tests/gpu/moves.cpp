// mov of registers, of parts into a whole and of a whole into parts; cvta, which is a mov here.
//
//   mov.b32 {low, high}, word        mov.b32 word, {low, high}
#include "block.hpp"
#include "instructions.hpp"

static void take_apart(Warp& warp, const Instruction& it, u32 lanes) {
    for_lanes(lanes, [&](int lane) {
        const u64 whole = word_of(warp, it.a, it.a_width, lane);
        for (int i = 0; i < it.count; ++i)
            if (it.places[i] != NO_PLACE) put_word(warp, it.places[i], it.width, lane, whole >> (8 * it.width * i));
    });
}

static void put_together(Warp& warp, const Instruction& it, u32 lanes) {
    for_lanes(lanes, [&](int lane) {
        u64 whole = 0;
        for (int i = 0; i < it.count; ++i) whole |= word_of(warp, it.places[i], it.width, lane) << (8 * it.width * i);
        put_word(warp, it.to, it.to_width, lane, whole);
    });
}

static void make_move_of_parts(Parser& parser, const Statement& statement, Instruction* made) {
    const int width = statement.type().width;
    const bool is_apart = statement.operand(0)[0] == '{';
    const string& parts = statement.operand(is_apart ? 0 : 1);
    made->count = split_operands(parts.substr(1, parts.size() - 2)).size();
    if (made->count == 0 || width % made->count) statement.refuse();
    made->width = width / made->count;
    made->places = parser.vector_of(parts, made->width);
    const int whole = parser.operand(statement.operand(is_apart ? 1 : 0), width);
    (is_apart ? made->a : made->to) = whole;
    (is_apart ? made->a_width : made->to_width) = width;
    made->action = is_apart ? take_apart : put_together;
}

void make_move(Parser& parser, const Statement& statement, Instruction* made) {
    if (statement.operand(0)[0] == '{' || statement.operand(1)[0] == '{')
        make_move_of_parts(parser, statement, made);
    else
        make_arithmetic(parser, statement, made);
}

// Addresses of global memory are the same with their space and without; of the others, none are made.
void make_address(Parser& parser, const Statement& statement, Instruction* made) {
    if (!statement.has("global") || statement.type().width != 8) statement.refuse();
    made->to = parser.operand(statement.operand(0), 8);
    made->a = parser.operand(statement.operand(1), 8);
    made->action = integer_action({Kind::UNSIGNED, 8}, "mov");
}
