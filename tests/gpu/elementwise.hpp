// Actions that do one thing to each lane: of a function of numbers they make an Action.
//
//   binary<T, T, T>([](T a, T b) { return a & b; })   ─►   registers a, b ─ each lane ─► register `to`
#pragma once
#include "block.hpp"

template <class To, class A, class Operation>
Action unary(Operation) {
    return [](Warp& warp, const Instruction& it, u32 lanes) {
        To* to = registers_of<To>(warp, it.to);
        const A* a = registers_of<A>(warp, it.a);
        for_lanes(lanes, [=](int lane) { to[lane] = Operation{}(a[lane]); });
    };
}

template <class To, class A, class B, class Operation>
Action binary(Operation) {
    return [](Warp& warp, const Instruction& it, u32 lanes) {
        To* to = registers_of<To>(warp, it.to);
        const A* a = registers_of<A>(warp, it.a);
        const B* b = registers_of<B>(warp, it.b);
        for_lanes(lanes, [=](int lane) { to[lane] = Operation{}(a[lane], b[lane]); });
    };
}

template <class To, class A, class B, class C, class Operation>
Action ternary(Operation) {
    return [](Warp& warp, const Instruction& it, u32 lanes) {
        To* to = registers_of<To>(warp, it.to);
        const A* a = registers_of<A>(warp, it.a);
        const B* b = registers_of<B>(warp, it.b);
        const C* c = registers_of<C>(warp, it.c);
        for_lanes(lanes, [=](int lane) { to[lane] = Operation{}(a[lane], b[lane], c[lane]); });
    };
}

// What each lane does with the whole warp in view.
template <class Operation>
Action lanewise(Operation) {
    return [](Warp& warp, const Instruction& it, u32 lanes) {
        for_lanes(lanes, [&](int lane) { Operation{}(warp, it, lane); });
    };
}
