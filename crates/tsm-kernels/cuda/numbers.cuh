// Numbers as they are computed with, f32, and as they lie in memory: f32, halves, bfloat16; their loads and stores.
//
//   float, half_t, brain_t   ─ wide, load4, load<WIDTH> ─►  float, Four, Floats<WIDTH>   ─ narrow, store4 ─►  memory
//   four of them             ─ load_stored ─►  Stored, as they lie there  ─ widened ─►  Four
#pragma once
#include "launch.cuh"

// Neighbouring numbers in f32, whatever they are stored as.
template <int WIDTH>
struct Floats {
    float v[WIDTH];
};
using Four = Floats<4>;

TSM_INLINE Four no_four() { return Four{{0.0f, 0.0f, 0.0f, 0.0f}}; }

// bfloat16: the upper half of an f32. No host compiler is needed to know it.
struct brain_t {
    unsigned short bits;
};

TSM_INLINE unsigned bits_of(float x) {
#ifdef __CUDACC__
    return __float_as_uint(x);
#else
    unsigned bits;
    std::memcpy(&bits, &x, sizeof(bits));
    return bits;
#endif
}

TSM_INLINE float float_of(unsigned bits) {
#ifdef __CUDACC__
    return __uint_as_float(bits);
#else
    float x;
    std::memcpy(&x, &bits, sizeof(x));
    return x;
#endif
}

TSM_INLINE float wide(float x) { return x; }
TSM_INLINE float wide(half_t x) { return (float)x; }
TSM_INLINE float wide(brain_t x) { return float_of((unsigned)x.bits << 16); }
TSM_INLINE void narrow(float x, float* to) { *to = x; }
TSM_INLINE void narrow(float x, half_t* to) { *to = (half_t)x; }
// To the nearest, of two to the even one; what is no number stays none.
TSM_INLINE void narrow(float x, brain_t* to) {
    const unsigned bits = bits_of(x);
    const bool is_number = (bits & 0x7fffffffu) <= 0x7f800000u;
    to->bits = (unsigned short)(is_number ? (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16 : bits >> 16 | 0x40u);
}

// Two halves, as they lie in a word.
TSM_INLINE void unpack(unsigned word, float* low, float* high) {
#ifdef __CUDACC__
    const float2 both = __half22float2(*reinterpret_cast<const __half2*>(&word));
    *low = both.x;
    *high = both.y;
#else
    half_t both[2];
    std::memcpy(both, &word, sizeof(both));
    *low = (float)both[0];
    *high = (float)both[1];
#endif
}

TSM_INLINE unsigned pack(float low, float high) {
#ifdef __CUDACC__
    const __half2 both = __floats2half2_rn(low, high);
    return *reinterpret_cast<const unsigned*>(&both);
#else
    const half_t both[2] = {(half_t)low, (half_t)high};
    unsigned word;
    std::memcpy(&word, both, sizeof(word));
    return word;
#endif
}

// Loads and stores of four neighbours; the address is a multiple of four elements.
TSM_INLINE Four load4(const float* p) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    const float4 q = *reinterpret_cast<const float4*>(p);
    return Four{{q.x, q.y, q.z, q.w}};
#else
    return Four{{p[0], p[1], p[2], p[3]}};
#endif
}

// Four neighbours as they are stored. What widens them right behind their load would wait for it before the next load
// is asked for: a thread asks for all that it needs, and widens what has arrived.
template <class T>
struct Stored;
template <>
struct Stored<float> {
    Four four;
};
template <>
struct Stored<half_t> {
    unsigned words[2];
};

TSM_INLINE Stored<float> load_stored(const float* p) { return Stored<float>{load4(p)}; }
TSM_INLINE Stored<half_t> load_stored(const half_t* p) {
    TSM_ALIGNED(p, 8);
    Stored<half_t> stored;
#ifdef __CUDACC__
    const uint2 q = *reinterpret_cast<const uint2*>(p);
    stored.words[0] = q.x;
    stored.words[1] = q.y;
#else
    std::memcpy(stored.words, p, sizeof(stored.words));
#endif
    return stored;
}

TSM_INLINE Four widened(const Four& four) { return four; }
TSM_INLINE Four widened(const Stored<float>& stored) { return stored.four; }
TSM_INLINE Four widened(const Stored<half_t>& stored) {
    Four four;
    TSM_UNROLL for (int i = 0; i < 2; ++i) unpack(stored.words[i], &four.v[2 * i], &four.v[2 * i + 1]);
    return four;
}

TSM_INLINE Four load4(const half_t* p) { return widened(load_stored(p)); }

// Back again: what was stored once is not rounded a second time.
TSM_INLINE void narrow(const Four& four, Stored<float>* to) { to->four = four; }
TSM_INLINE void narrow(const Four& four, Stored<half_t>* to) {
    TSM_UNROLL for (int i = 0; i < 2; ++i) to->words[i] = pack(four.v[2 * i], four.v[2 * i + 1]);
}

TSM_INLINE void store4(float* p, const Four& f) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    *reinterpret_cast<float4*>(p) = make_float4(f.v[0], f.v[1], f.v[2], f.v[3]);
#else
    for (int i = 0; i < 4; ++i) p[i] = f.v[i];
#endif
}

TSM_INLINE void store4(half_t* p, const Four& f) {
    TSM_ALIGNED(p, 8);
    const unsigned words[2] = {pack(f.v[0], f.v[1]), pack(f.v[2], f.v[3])};
#ifdef __CUDACC__
    *reinterpret_cast<uint2*>(p) = make_uint2(words[0], words[1]);
#else
    std::memcpy(p, words, sizeof(words));
#endif
}

// Eight halves, as they lie in four words: taken one by one they would be put together again, which took more
// instructions than the products they are for.
struct Eight {
    unsigned words[4];
};

// The address is a multiple of eight halves.
TSM_INLINE Eight load8(const half_t* p) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    const uint4 q = *reinterpret_cast<const uint4*>(p);
    return Eight{{q.x, q.y, q.z, q.w}};
#else
    Eight eight;
    std::memcpy(eight.words, p, sizeof(eight.words));
    return eight;
#endif
}

TSM_INLINE void store8(half_t* p, const Eight& eight) {
    TSM_ALIGNED(p, 16);
#ifdef __CUDACC__
    *reinterpret_cast<uint4*>(p) = make_uint4(eight.words[0], eight.words[1], eight.words[2], eight.words[3]);
#else
    std::memcpy(p, eight.words, sizeof(eight.words));
#endif
}

// One, two or four; the address is a multiple of so many.
TSM_INLINE void store(float* p, const Floats<1>& f) { *p = f.v[0]; }
TSM_INLINE void store(float* p, const Floats<2>& f) {
    TSM_ALIGNED(p, 8);
#ifdef __CUDACC__
    *reinterpret_cast<float2*>(p) = make_float2(f.v[0], f.v[1]);
#else
    for (int i = 0; i < 2; ++i) p[i] = f.v[i];
#endif
}
TSM_INLINE void store(float* p, const Floats<4>& f) { store4(p, f); }

// WIDTH neighbours as they are stored.
template <class T, int WIDTH>
using StoredOf = std::conditional_t<WIDTH == 8, Eight, Stored<T>>;

template <int WIDTH, class T>
TSM_INLINE StoredOf<T, WIDTH> load_stored(const T* p) {
    if constexpr (WIDTH == 8)
        return load8(p);
    else
        return load_stored(p);
}

TSM_INLINE Floats<8> widened(const Eight& eight) {
    Floats<8> floats;
    TSM_UNROLL for (int i = 0; i < 4; ++i) unpack(eight.words[i], &floats.v[2 * i], &floats.v[2 * i + 1]);
    return floats;
}

// WIDTH neighbours; the address is a multiple of so many elements.
template <int WIDTH>
TSM_INLINE Floats<WIDTH> load(const float* p) {
    Floats<WIDTH> floats;
    TSM_UNROLL for (int q = 0; q < WIDTH; q += 4) {
        const Four four = load4(p + q);
        TSM_UNROLL for (int i = 0; i < 4; ++i) floats.v[q + i] = four.v[i];
    }
    return floats;
}

template <int WIDTH>
TSM_INLINE Floats<WIDTH> load(const half_t* p) {
    if constexpr (WIDTH == 4) {
        return load4(p);
    } else {
        static_assert(WIDTH == 8, "what a thread loads at once");
        return widened(load8(p));
    }
}
