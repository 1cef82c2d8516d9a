// Copies into shared memory that no thread waits for until it needs them, sixteen bytes each, in groups.
//
//   GPU    cp.async (8.0 and newer; before, a load and a store)
//   host   a list a thread: carried out either at once or, at every second block, only when they are waited for.
//          Both have to give the same sums: then nobody reads what is still on its way, nor writes over what is being read.
//
//   begin_copies                                                     once a block
//   copy16 copy16 … end_group   copy16 copy16 … end_group   …        a thread's groups, in order
//   wait_for_groups<N>                                               all but the last N are there; then a barrier
#pragma once
#include "launch.cuh"

#ifdef __CUDACC__

TSM_INLINE void begin_copies() {}

// Zeros where nothing is there; `from` is a valid address in any case.
TSM_INLINE void copy16(int, void* to, const void* from, bool is_there) {
#if __CUDA_ARCH__ >= 800
    const unsigned at = (unsigned)__cvta_generic_to_shared(to);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(at), "l"(from), "r"(is_there ? 16 : 0) : "memory");
#else
    *reinterpret_cast<uint4*>(to) = is_there ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
#endif
}

TSM_INLINE void end_group(int) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

template <int N>
TSM_INLINE void wait_for_groups(int) {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;\n" ::"n"(N) : "memory");
#endif
}

#else

#include <deque>
#include <map>

struct Copy {
    void* to;
    const void* from;
    bool is_there;
    int group;

    void carry_out() const {
        if (is_there)
            std::memcpy(to, from, 16);
        else
            std::memset(to, 0, 16);
    }
};

struct ThreadsCopies {
    int ended = 0;
    std::deque<Copy> under_way;
};

struct BlocksCopies {
    bool are_late = false;
    std::map<int, ThreadsCopies> of_thread;
};

static thread_local BlocksCopies blocks_copies;

TSM_INLINE void begin_copies() {
    blocks_copies.are_late = !blocks_copies.are_late;
    blocks_copies.of_thread.clear();
}

TSM_INLINE void copy16(int t, void* to, const void* from, bool is_there) {
    TSM_ALIGNED(to, 16);
    TSM_ALIGNED(from, 16);
    ThreadsCopies& own = blocks_copies.of_thread[t];
    const Copy copy = {to, from, is_there, own.ended};
    if (blocks_copies.are_late)
        own.under_way.push_back(copy);
    else
        copy.carry_out();
}

TSM_INLINE void end_group(int t) { ++blocks_copies.of_thread[t].ended; }

template <int N>
TSM_INLINE void wait_for_groups(int t) {
    ThreadsCopies& own = blocks_copies.of_thread[t];
    for (; !own.under_way.empty() && own.under_way.front().group < own.ended - N; own.under_way.pop_front())
        own.under_way.front().carry_out();
}

#endif
