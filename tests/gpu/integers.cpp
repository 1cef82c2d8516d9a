// Arithmetic of integers, of each width and sign. What overflows wraps around, as on a GPU.
#include <unordered_map>

#include "elementwise.hpp"
#include "fault.hpp"
#include "instructions.hpp"

template <class T>
using Unsigned = std::make_unsigned_t<T>;

// Holds every product of two T.
template <class T>
using Product = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;

template <class T>
static T high_product(T a, T b) {
    return (T)(((Product<T>)a * (Product<T>)b) >> (8 * sizeof(T)));
}

// The quotient of the lowest number and -1 is no number of its type: the host would trap, a GPU wraps around.
template <class T>
static T quotient(T a, T b) {
    if (std::is_signed_v<T> && b == (T)-1) return (T)(Unsigned<T>(0) - (Unsigned<T>)a);
    return (T)(a / b);
}

template <class T>
static T remainder_of(T a, T b) {
    if (std::is_signed_v<T> && b == (T)-1) return 0;
    return (T)(a % b);
}

template <class T, class Operation>
static Action division(Operation) {
    return [](Warp& warp, const Instruction& it, u32 lanes) {
        T* to = registers_of<T>(warp, it.to);
        const T* a = registers_of<T>(warp, it.a);
        const T* b = registers_of<T>(warp, it.b);
        for_lanes(lanes, [&](int lane) {
            if (b[lane] == 0) fault(warp, it, lane, "division by zero", 0);
            to[lane] = Operation{}(a[lane], b[lane]);
        });
    };
}

template <class T>
static std::unordered_map<string, Action> actions() {
    typedef Unsigned<T> U;
    constexpr u32 BITS = 8 * sizeof(T);
    return {
        {"add", binary<T, T, T>([](T a, T b) { return (T)((U)a + (U)b); })},
        {"sub", binary<T, T, T>([](T a, T b) { return (T)((U)a - (U)b); })},
        {"mul.lo", binary<T, T, T>([](T a, T b) { return (T)((u64)a * (u64)b); })},
        {"mul.hi", binary<T, T, T>([](T a, T b) { return high_product<T>(a, b); })},
        {"mad.lo", ternary<T, T, T, T>([](T a, T b, T c) { return (T)((u64)a * (u64)b + (u64)c); })},
        {"mad.hi", ternary<T, T, T, T>([](T a, T b, T c) { return (T)((U)high_product<T>(a, b) + (U)c); })},
        {"div", division<T>([](T a, T b) { return quotient<T>(a, b); })},
        {"rem", division<T>([](T a, T b) { return remainder_of<T>(a, b); })},
        {"min", binary<T, T, T>([](T a, T b) { return a < b ? a : b; })},
        {"max", binary<T, T, T>([](T a, T b) { return a > b ? a : b; })},
        {"and", binary<T, T, T>([](T a, T b) { return (T)(a & b); })},
        {"or", binary<T, T, T>([](T a, T b) { return (T)(a | b); })},
        {"xor", binary<T, T, T>([](T a, T b) { return (T)(a ^ b); })},
        {"not", unary<T, T>([](T a) { return (T)~a; })},
        {"neg", unary<T, T>([](T a) { return (T)(U(0) - (U)a); })},
        {"abs", unary<T, T>([](T a) { return (T)(a < 0 ? U(0) - (U)a : (U)a); })},
        {"mov", unary<T, T>([](T a) { return a; })},
        // More bits than there are: nothing is left, or the sign alone.
        {"shl", binary<T, T, u32>([](T a, u32 b) { return b >= BITS ? (T)0 : (T)((U)a << b); })},
        {"shr", binary<T, T, u32>([](T a, u32 b) { return b >= BITS ? (T)(a < 0 ? -1 : 0) : (T)(a >> b); })},
        {"selp", ternary<T, T, T, u8>([](T a, T b, u8 c) { return c & 1 ? a : b; })},
        {"popc", unary<u32, T>([](T a) { return (u32)__builtin_popcountll((U)a); })},
    };
}

template <class T>
static Action named(const string& name) {
    static const std::unordered_map<string, Action> all = actions<T>();
    const auto found = all.find(name);
    return found == all.end() ? nullptr : found->second;
}

// Predicates are bytes of which the lowest bit counts.
Action integer_action(Type type, const string& name) {
    const bool is_signed = type.kind == Kind::SIGNED;
    switch (type.width) {
        case 1: return is_signed ? named<s8>(name) : named<u8>(name);
        case 2: return is_signed ? named<s16>(name) : named<u16>(name);
        case 4: return is_signed ? named<s32>(name) : named<u32>(name);
        default: return is_signed ? named<s64>(name) : named<u64>(name);
    }
}
