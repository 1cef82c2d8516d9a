// cvt: numbers of one type into another.
//
//   lane's word ─ read as the source's type ─► f64 or 64 bits ─ rounded, clamped ─► word of the target's type
//
// Fast paths for the five that kernels are full of; all others go the long way.
#include <algorithm>
#include <unordered_map>

#include "elementwise.hpp"
#include "instructions.hpp"

// In `manner`: how a float becomes whole, and whether the result is clamped.
enum Manner { AS_IT_IS = 0, NEAREST = 1, TOWARDS_ZERO = 2, DOWN = 3, UP = 4, CLAMPED = 16 };

static int packed(Type to, Type from) { return (int)to.kind | (int)from.kind << 8; }
static Kind kind_to(const Instruction& it) { return (Kind)(it.variant & 255); }
static Kind kind_from(const Instruction& it) { return (Kind)(it.variant >> 8); }
static bool is_float(Kind kind) { return kind == Kind::FLOAT || kind == Kind::BRAIN; }

static double read_float(Kind kind, int width, u64 word) {
    if (kind == Kind::BRAIN) return from_bits<brain_t>(word);
    if (width == 2) return from_bits<half_t>(word);
    return width == 4 ? from_bits<float>(word) : from_bits<double>(word);
}

template <class T>
static u64 float_word(Kind kind, int width, T value) {
    if (kind == Kind::BRAIN) return bits_of((brain_t)(float)value);
    if (width == 2) return bits_of((half_t)value);
    return width == 4 ? bits_of((float)value) : bits_of((double)value);
}

static double whole(double value, int manner) {
    switch (manner & 15) {
        case NEAREST: return std::nearbyint(value);
        case TOWARDS_ZERO: return std::trunc(value);
        case DOWN: return std::floor(value);
        case UP: return std::ceil(value);
        default: return value;
    }
}

// No number becomes 0, what is too large the largest there is.
template <class T>
static u64 clamped_float(double value) {
    typedef std::numeric_limits<T> Limits;
    if (value != value) return 0;
    if (value <= (double)Limits::min()) return (u64)(s64)Limits::min();
    if (value >= (double)Limits::max()) return (u64)(s64)Limits::max();
    return (u64)(s64)(T)value;
}

static u64 integer_of_float(Kind kind, int width, double value) {
    const bool is_signed = kind == Kind::SIGNED;
    switch (width) {
        case 1: return is_signed ? clamped_float<s8>(value) : clamped_float<u8>(value);
        case 2: return is_signed ? clamped_float<s16>(value) : clamped_float<u16>(value);
        case 4: return is_signed ? clamped_float<s32>(value) : clamped_float<u32>(value);
        default: return is_signed ? clamped_float<s64>(value) : clamped_float<u64>(value);
    }
}

// cvt.sat between integers: `value` has the sign of its own type.
static u64 clamped_integer(Kind kind_to, int width, Kind kind_from, u64 value) {
    const bool is_negative = kind_from == Kind::SIGNED && (s64)value < 0;
    const bool is_signed = kind_to == Kind::SIGNED;
    const u64 most = ~0ull >> (64 - 8 * width + (is_signed ? 1 : 0));
    if (is_negative && !is_signed) return 0;
    if (is_negative) return (u64)std::max((s64)value, -(s64)most - 1);
    return std::min(value, most);
}

static u64 converted_float(const Instruction& it, u64 word) {
    double value = whole(read_float(kind_from(it), it.width, word), it.manner);
    if (!is_float(kind_to(it))) return integer_of_float(kind_to(it), it.count, std::trunc(value));
    if (it.manner & CLAMPED) value = value > 0 ? std::fmin(value, 1) : 0;  // no number becomes 0
    return float_word(kind_to(it), it.count, value);
}

static u64 converted_integer(const Instruction& it, u64 word) {
    const bool is_signed = kind_from(it) == Kind::SIGNED;
    const u64 value = extended(word, it.width, is_signed);
    if (is_float(kind_to(it))) {
        if (is_signed) return float_word(kind_to(it), it.count, (s64)value);
        return float_word(kind_to(it), it.count, value);
    }
    const u64 fitting = it.manner & CLAMPED ? clamped_integer(kind_to(it), it.count, kind_from(it), value) : value;
    return extended(fitting, it.count, kind_to(it) == Kind::SIGNED);
}

static void convert(Warp& warp, const Instruction& it, u32 lanes) {
    const bool is_from_float = is_float(kind_from(it));
    for_lanes(lanes, [&](int lane) {
        const u64 word = extended(word_of(warp, it.a, it.a_width, lane), it.width, false);
        const u64 converted = is_from_float ? converted_float(it, word) : converted_integer(it, word);
        put_word(warp, it.to, it.to_width, lane, converted);
    });
}

static Action fast_conversion(const Statement& statement) {
    static const std::unordered_map<string, Action> actions = {
        {"cvt.f32.f16", unary<float, half_t>([](half_t a) { return (float)a; })},
        {"cvt.rn.f16.f32", unary<half_t, float>([](float a) { return (half_t)a; })},
        {"cvt.s64.s32", unary<s64, s32>([](s32 a) { return (s64)a; })},
        {"cvt.u64.u32", unary<u64, u32>([](u32 a) { return (u64)a; })},
        {"cvt.u32.u64", unary<u32, u64>([](u64 a) { return (u32)a; })},
    };
    const auto found = actions.find(statement.operation);
    return found == actions.end() ? nullptr : found->second;
}

// cvt.rn.f16x2.f32 to, upper, lower
static void make_pair(Parser& parser, const Statement& statement, Instruction* made) {
    if (!statement.has("f16x2") || !statement.has("rn") || statement.has("relu")) statement.refuse();
    made->to = parser.operand(statement.operand(0), 4);
    made->a = parser.operand(statement.operand(1), 4);
    made->b = parser.operand(statement.operand(2), 4);
    made->action = binary<u32, float, float>([](float upper, float lower) {
        return (u32)(bits_of((half_t)upper) << 16 | bits_of((half_t)lower));
    });
}

static int manner_of(const Statement& statement) {
    const int clamped = statement.has("sat") ? CLAMPED : 0;
    if (statement.has("rni")) return clamped | NEAREST;
    if (statement.has("rzi")) return clamped | TOWARDS_ZERO;
    if (statement.has("rmi")) return clamped | DOWN;
    if (statement.has("rpi")) return clamped | UP;
    return clamped | AS_IT_IS;
}

void make_conversion(Parser& parser, const Statement& statement, Instruction* made) {
    if (statement.operands.size() == 3) return make_pair(parser, statement, made);
    statement.allow({"rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "sat", "ftz"});
    const Type to = statement.type(1);
    const Type from = statement.type();
    const bool has_types = (to.is_float() || to.is_integer()) && (from.is_float() || from.is_integer());
    if (!has_types) statement.refuse();
    made->to_width = to.width;
    made->a_width = from.width;
    made->to = parser.operand_of_any_width(statement.operand(0), &made->to_width);
    made->a = parser.operand_of_any_width(statement.operand(1), &made->a_width);
    if (made->to_width < to.width || made->a_width < from.width) statement.refuse();
    made->variant = packed(to, from);
    made->count = to.width;
    made->width = from.width;
    made->manner = manner_of(statement);
    const bool has_whole_registers = made->to_width == to.width && made->a_width == from.width;
    made->action = has_whole_registers ? fast_conversion(statement) : nullptr;
    if (!made->action) made->action = convert;
    if (to.width < 4 && (statement.has("rz") || statement.has("rm") || statement.has("rp"))) statement.refuse();
    if (!(made->manner & CLAMPED)) round_as_asked(statement, made);
}
