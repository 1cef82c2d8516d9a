// Arithmetic of one result: operands of one type, and the few instructions whose operands are not.
#include "elementwise.hpp"
#include "instructions.hpp"

static const std::initializer_list<const char*> WORDS = {
    "lo", "hi", "wide", "rn", "rz", "rm", "rp", "NaN", "ftz", "approx", "full",
};

template <class Narrow, class Wide>
static Action wide_action(bool adds) {
    if (adds) {
        return ternary<Wide, Narrow, Narrow, Wide>([](Narrow a, Narrow b, Wide c) {
            return (Wide)((u64)(Wide)a * (u64)(Wide)b + (u64)c);
        });
    }
    return binary<Wide, Narrow, Narrow>([](Narrow a, Narrow b) { return (Wide)((u64)(Wide)a * (u64)(Wide)b); });
}

// mul.wide, mad.wide: the product is twice as wide as its factors.
static void make_wide_product(Parser& parser, const Statement& statement, Instruction* made) {
    const Type type = statement.type();
    const bool adds = statement.root() == "mad";
    made->to = parser.operand(statement.operand(0), 2 * type.width);
    made->a = parser.operand(statement.operand(1), type.width);
    made->b = parser.operand(statement.operand(2), type.width);
    if (adds) made->c = parser.operand(statement.operand(3), 2 * type.width);
    const bool is_signed = type.kind == Kind::SIGNED;
    if (type.width == 4)
        made->action = is_signed ? wide_action<s32, s64>(adds) : wide_action<u32, u64>(adds);
    else if (type.width == 2)
        made->action = is_signed ? wide_action<s16, s32>(adds) : wide_action<u16, u32>(adds);
}

static string name_of(const Statement& statement, Type type) {
    const string& root = statement.root();
    const bool is_product = root == "mul" || root == "mad";
    if (is_product && !type.is_float()) return root + (statement.has("hi") ? ".hi" : ".lo");
    if (root == "mad") return "fma";
    const bool is_extreme = root == "min" || root == "max";
    return is_extreme && statement.has("NaN") ? root + ".NaN" : root;
}

static int width_of_operand(const Statement& statement, Type type, size_t index) {
    const string& root = statement.root();
    if (index == 0 && root == "popc") return 4;
    if (index == 2 && (root == "shl" || root == "shr")) return 4;
    if (index == 3 && root == "selp") return 1;
    return type.width;
}

void make_arithmetic(Parser& parser, const Statement& statement, Instruction* made) {
    statement.allow(WORDS);
    Type type = statement.type();
    if (statement.has("wide")) return make_wide_product(parser, statement, made);
    if (type.kind == Kind::NONE || type.kind == Kind::PAIR) statement.refuse();
    int* const places[4] = {&made->to, &made->a, &made->b, &made->c};
    if (statement.operands.size() < 2 || statement.operands.size() > 4) statement.refuse();
    for (size_t i = 0; i < statement.operands.size(); ++i)
        *places[i] = parser.operand(statement.operands[i], width_of_operand(statement, type, i));
    if (type.kind == Kind::PREDICATE && statement.root() == "not") {
        made->action = unary<u8, u8>([](u8 a) { return (u8)(a ^ 1); });
        return;
    }
    const string name = name_of(statement, type);
    made->action = type.is_float() ? float_action(type, name) : integer_action(type, name);
    round_as_asked(statement, made);
}
