// setp: two predicates of a comparison, if asked for combined with a third.
//
//   setp.lt.and.f32  p|q, a, b, c       p = (a < b) and c,  q = not (a < b) and c
//
// A comparison of no number is false, but for those whose name ends with `u` (unordered), where it is true.
#include "elementwise.hpp"
#include "instructions.hpp"

// In `manner`.
enum Combination { ALONE, WITH_AND, WITH_OR, WITH_XOR };

static bool combined(int combination, bool is_so, bool other) {
    switch (combination) {
        case WITH_AND: return is_so && other;
        case WITH_OR: return is_so || other;
        case WITH_XOR: return is_so != other;
        default: return is_so;
    }
}

template <class T, class Comparison>
static Action comparison(Comparison) {
    return [](Warp& warp, const Instruction& it, u32 lanes) {
        const T* a = registers_of<T>(warp, it.a);
        const T* b = registers_of<T>(warp, it.b);
        u8* to = registers_of<u8>(warp, it.to);
        if (it.c == NO_PLACE && it.second_to == NO_PLACE) {
            for_lanes(lanes, [=](int lane) { to[lane] = Comparison{}(a[lane], b[lane]); });
            return;
        }
        const u8* c = it.c == NO_PLACE ? nullptr : registers_of<u8>(warp, it.c);
        u8* second_to = it.second_to == NO_PLACE ? nullptr : registers_of<u8>(warp, it.second_to);
        for_lanes(lanes, [=](int lane) {
            const bool is_so = Comparison{}(a[lane], b[lane]);
            const bool other = c && (c[lane] & 1);
            to[lane] = combined(it.manner, is_so, other);
            if (second_to) second_to[lane] = combined(it.manner, !is_so, other);
        });
    };
}

template <class T>
static Action named(const string& name) {
    static const std::unordered_map<string, Action> all = {
        {"eq", comparison<T>([](T a, T b) { return a == b; })},
        {"ne", comparison<T>([](T a, T b) { return a == a && b == b && a != b; })},
        {"lt", comparison<T>([](T a, T b) { return a < b; })},
        {"le", comparison<T>([](T a, T b) { return a <= b; })},
        {"gt", comparison<T>([](T a, T b) { return a > b; })},
        {"ge", comparison<T>([](T a, T b) { return a >= b; })},
        {"equ", comparison<T>([](T a, T b) { return !(a < b || a > b); })},
        {"neu", comparison<T>([](T a, T b) { return a != b; })},
        {"ltu", comparison<T>([](T a, T b) { return !(a >= b); })},
        {"leu", comparison<T>([](T a, T b) { return !(a > b); })},
        {"gtu", comparison<T>([](T a, T b) { return !(a <= b); })},
        {"geu", comparison<T>([](T a, T b) { return !(a < b); })},
        {"num", comparison<T>([](T a, T b) { return a == a && b == b; })},
        {"nan", comparison<T>([](T a, T b) { return a != a || b != b; })},
    };
    const auto found = all.find(name);
    return found == all.end() ? nullptr : found->second;
}

static Action comparison_of(Type type, const string& name) {
    if (type.kind == Kind::BRAIN) return named<brain_t>(name);
    if (type.kind == Kind::FLOAT) {
        return type.width == 2 ? named<half_t>(name) : type.width == 4 ? named<float>(name) : named<double>(name);
    }
    if (type.kind == Kind::SIGNED)
        return type.width == 2 ? named<s16>(name) : type.width == 4 ? named<s32>(name) : named<s64>(name);
    return type.width == 2 ? named<u16>(name) : type.width == 4 ? named<u32>(name) : named<u64>(name);
}

// Of unsigned integers, some comparisons have names of their own.
static string plain_name(const string& name) {
    static const std::unordered_map<string, string> names = {{"lo", "lt"}, {"ls", "le"}, {"hi", "gt"}, {"hs", "ge"}};
    const auto found = names.find(name);
    return found == names.end() ? name : found->second;
}

void make_comparison(Parser& parser, const Statement& statement, Instruction* made) {
    const Type type = statement.type();
    const bool is_known = (type.is_float() || type.is_integer()) && type.width > 1;
    if (!is_known || statement.words.size() < 3) statement.refuse();
    made->manner = statement.has("and")   ? WITH_AND
                   : statement.has("or")  ? WITH_OR
                   : statement.has("xor") ? WITH_XOR
                                          : ALONE;
    parser.predicates(statement.operand(0), 1, made);
    made->a = parser.operand(statement.operand(1), type.width);
    made->b = parser.operand(statement.operand(2), type.width);
    if (made->manner != ALONE) made->c = parser.operand(statement.operand(3), 1);
    made->action = comparison_of(type, plain_name(statement.words[1]));
}
