// Pictures of bytes to the planes that a network sees, as normalise.rs makes them on the CPU, to the bit.
//
//   x [pictures, h, w, 3] bytes ─ a thread: four pixels, three words ─► table [3, 256] ─► y [pictures, 3, h, w]
//
// What each level of a channel becomes is looked up, so that no division is rounded differently here.
#pragma once
#include "layer.cuh"

constexpr int NORMALISE_THREADS = 256;
constexpr int LEVELS = 256;

// The byte at `at` of a few words.
TSM_INLINE int byte_of(const unsigned* words, int at) { return (int)(words[at / 4] >> (8 * (at % 4)) & 255u); }

// grid: x over rows / 4; `rows` are pixels, of which a picture has a multiple of four.
template <class T>
TSM_INLINE void normalise_block(const LayerArgs& a, Place place) {
    TSM_SHARED(T, table, [3 * LEVELS]);
    TSM_THREADS(t, NORMALISE_THREADS) {
        for (int i = t; i < 3 * LEVELS; i += NORMALISE_THREADS) table[i] = static_cast<const T*>(a.weight)[i];
        wait_for_previous();
    }
    TSM_BARRIER();
    TSM_THREADS(t, NORMALISE_THREADS) {
        const int pixel = (place.x * NORMALISE_THREADS + t) * 4;
        if (pixel < a.rows) {
            const int plane = a.in_h * a.in_w, picture = pixel / plane, at = pixel - picture * plane;
            const unsigned* from = static_cast<const unsigned*>(a.x) + pixel / 4 * 3;
            TSM_ALIGNED(from, 4);
            unsigned words[3];
            TSM_UNROLL for (int i = 0; i < 3; ++i) words[i] = from[i];
            T* to = static_cast<T*>(a.y) + (picture * 3 * plane + at);
            TSM_UNROLL for (int c = 0; c < 3; ++c) {
                Four four;
                TSM_UNROLL for (int i = 0; i < 4; ++i) four.v[i] = wide(table[c * LEVELS + byte_of(words, 3 * i + c)]);
                store4(to + c * plane, four);
            }
        }
    }
}
