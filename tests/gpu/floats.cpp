// Arithmetic of floating point. Halves are computed in f32 and rounded once, which gives what one rounding gives; their
// fma in f64. What a GPU approximates (`approx`) is exact here, and what `ftz` would make zero stays what it is.
#include <unordered_map>

#include "elementwise.hpp"
#include "instructions.hpp"

template <class T>
static T not_a_number() {
    return (T)__builtin_nanf("");
}

template <class T>
static T multiplied_and_added(T a, T b, T c) {
    if constexpr (std::is_same_v<T, half_t>) return (T)__builtin_fma((double)a, (double)b, (double)c);
    if constexpr (std::is_same_v<T, brain_t>) return (T)__builtin_fmaf((float)a, (float)b, (float)c);
    if constexpr (sizeof(T) == 4) return __builtin_fmaf(a, b, c);
    if constexpr (sizeof(T) == 8) return __builtin_fma(a, b, c);
}

// A number beats none, but for `NaN`, where none beats any.
template <class T>
static T smaller(T a, T b) {
    return a != a ? b : b != b ? a : (Wider<T>)a < (Wider<T>)b ? a : b;
}

template <class T>
static T larger(T a, T b) {
    return a != a ? b : b != b ? a : (Wider<T>)a > (Wider<T>)b ? a : b;
}

template <class T>
static T smaller_or_none(T a, T b) {
    return a != a || b != b ? not_a_number<T>() : (Wider<T>)a < (Wider<T>)b ? a : b;
}

template <class T>
static T larger_or_none(T a, T b) {
    return a != a || b != b ? not_a_number<T>() : (Wider<T>)a > (Wider<T>)b ? a : b;
}

template <class T>
static std::unordered_map<string, Action> actions() {
    typedef Wider<T> W;
    return {
        {"add", binary<T, T, T>([](T a, T b) { return (T)((W)a + (W)b); })},
        {"sub", binary<T, T, T>([](T a, T b) { return (T)((W)a - (W)b); })},
        {"mul", binary<T, T, T>([](T a, T b) { return (T)((W)a * (W)b); })},
        {"div", binary<T, T, T>([](T a, T b) { return (T)((W)a / (W)b); })},
        {"fma", ternary<T, T, T, T>([](T a, T b, T c) { return multiplied_and_added<T>(a, b, c); })},
        {"min", binary<T, T, T>([](T a, T b) { return smaller<T>(a, b); })},
        {"max", binary<T, T, T>([](T a, T b) { return larger<T>(a, b); })},
        {"min.NaN", binary<T, T, T>([](T a, T b) { return smaller_or_none<T>(a, b); })},
        {"max.NaN", binary<T, T, T>([](T a, T b) { return larger_or_none<T>(a, b); })},
        {"neg", unary<T, T>([](T a) { return (T)-(W)a; })},
        {"abs", unary<T, T>([](T a) { return (T)std::fabs((W)a); })},
        {"mov", unary<T, T>([](T a) { return a; })},
        {"sqrt", unary<T, T>([](T a) { return (T)std::sqrt((W)a); })},
        {"rsqrt", unary<T, T>([](T a) { return (T)(1 / std::sqrt((W)a)); })},
        {"rcp", unary<T, T>([](T a) { return (T)(1 / (W)a); })},
        {"ex2", unary<T, T>([](T a) { return (T)std::exp2((W)a); })},
        {"lg2", unary<T, T>([](T a) { return (T)std::log2((W)a); })},
        {"sin", unary<T, T>([](T a) { return (T)std::sin((W)a); })},
        {"cos", unary<T, T>([](T a) { return (T)std::cos((W)a); })},
        {"tanh", unary<T, T>([](T a) { return (T)std::tanh((W)a); })},
        // The sign of the first on what the second is.
        {"copysign", binary<T, T, T>([](T a, T b) { return (T)std::copysign((W)b, (W)a); })},
        {"selp", ternary<T, T, T, u8>([](T a, T b, u8 c) { return c & 1 ? a : b; })},
    };
}

template <class T>
static Action named(const string& name) {
    static const std::unordered_map<string, Action> all = actions<T>();
    const auto found = all.find(name);
    return found == all.end() ? nullptr : found->second;
}

Action float_action(Type type, const string& name) {
    if (type.kind == Kind::BRAIN) return named<brain_t>(name);
    if (type.width == 2) return named<half_t>(name);
    return type.width == 4 ? named<float>(name) : named<double>(name);
}
