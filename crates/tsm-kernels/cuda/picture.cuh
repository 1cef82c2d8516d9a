// From a camera's picture to the network's input: colour, both passes of the resize, normalisation.
//
//   bytes ── picture_rows_{rgb,yuv,grey} ─► narrow [pictures, rows, width] ── picture_values_bits{32,16} ─► y [pictures, 3, height, width]
//            a thread: a pixel of a source row                                a thread: a pixel of the crop,
//            that the crop needs, made narrow;                                its three values looked up
//            8 bits a channel, a word a pixel
//
// Whole numbers throughout, rounded where resize.rs and colour/tables.rs round, and what a level becomes is looked up:
// equal to the CPU's to the bit, in every type. So the type of y does not matter here, only its width.
#pragma once
#include "numbers.cuh"

constexpr int PICTURE_THREADS = 256;

// The tables at the head of `words`: five of colour (luma, V in red, U in green, V in green, U in blue; 16 fractional
// bits), then what each level of red, green and blue becomes.
constexpr int COLOUR_WORDS = 5 * 256;
constexpr int VALUE_WORDS = 3 * 256;

enum PictureKind { PICTURE_RGB, PICTURE_YUV, PICTURE_GREY };

// Mirrored by `PictureArgs` in args.rs.
struct PictureArgs {
    const unsigned char* bytes;      // the pictures, picture_bytes apart
    const int* words;                // tables and taps, see preprocess.rs
    unsigned* narrow;                // [pictures, rows, width], red in the lowest byte
    void* y;                         // [pictures, 3, height, width]
    long long picture_bytes;
    long long offset[3], row_stride[3], sample_step[3];  // of R, G, B or Y, U, V, in bytes
    int first_row, rows;             // source rows that the crop needs
    int width, height;               // of the crop
    int chroma_columns_log2, chroma_rows_log2;
    int columns_at, rows_at;         // where the taps of the two passes lie in `words`
};

// The taps of `count` outputs: [starts][lengths][weights of tap 0][of tap 1]…, as resize/taps.rs lays them out.
struct Taps {
    int start, length, step;
    const int* weights;  // those of one output, `step` apart
};

TSM_INLINE Taps taps_of(const int* words, int count, int output) {
    return Taps{words[output], words[count + output], count, words + 2 * count + output};
}

TSM_INLINE int to_byte(int level) { return level < 0 ? 0 : level > 255 ? 255 : level; }

// A sum of weighted values, as weights.rs rounds it.
TSM_INLINE int level_of(int sum) { return to_byte((sum + (1 << 21)) >> 22); }

// A colour with 16 fractional bits, as tables.rs rounds it.
TSM_INLINE int colour_of(int sum) { return to_byte((sum + (1 << 15)) >> 16); }

// grid: x over rows * width, y the pictures
template <PictureKind KIND>
TSM_INLINE void picture_rows_block(const PictureArgs& a, Place place) {
    TSM_SHARED(int, colours, [COLOUR_WORDS]);
    TSM_THREADS(t, PICTURE_THREADS) {
        if (KIND != PICTURE_RGB)
            for (int i = t; i < COLOUR_WORDS; i += PICTURE_THREADS) colours[i] = a.words[i];
    }
    TSM_BARRIER();
    TSM_THREADS(t, PICTURE_THREADS) {
        const int at = place.x * PICTURE_THREADS + t;
        if (at < a.rows * a.width) {
            const int row = at / a.width, x = at - row * a.width;
            const long long source_row = a.first_row + row, chroma_row = source_row >> a.chroma_rows_log2;
            const unsigned char* bytes = a.bytes + place.y * a.picture_bytes;
            const unsigned char* first = bytes + a.offset[0] + source_row * a.row_stride[0];
            const unsigned char* second = bytes + a.offset[1] + chroma_row * a.row_stride[1];
            const unsigned char* third = bytes + a.offset[2] + chroma_row * a.row_stride[2];
            const Taps taps = taps_of(a.words + a.columns_at, a.width, x);
            int red = 0, green = 0, blue = 0;
            for (int tap = 0; tap < taps.length; ++tap) {
                const int column = taps.start + tap, weight = taps.weights[tap * taps.step];
                if (KIND == PICTURE_RGB) {
                    red += weight * first[column * a.sample_step[0]];
                    green += weight * second[column * a.sample_step[1]];
                    blue += weight * third[column * a.sample_step[2]];
                } else {
                    const int luma = colours[first[column * a.sample_step[0]]];
                    if (KIND == PICTURE_GREY) {
                        red += weight * colour_of(luma);
                    } else {
                        const int pair = column >> a.chroma_columns_log2;
                        const int u = second[pair * a.sample_step[1]], v = third[pair * a.sample_step[2]];
                        red += weight * colour_of(luma + colours[256 + v]);
                        green += weight * colour_of(luma + colours[512 + u] + colours[768 + v]);
                        blue += weight * colour_of(luma + colours[1024 + u]);
                    }
                }
            }
            const unsigned r = level_of(red);
            const unsigned pixel = KIND == PICTURE_GREY ? r | r << 8 | r << 16
                                                        : r | (unsigned)level_of(green) << 8 | (unsigned)level_of(blue) << 16;
            a.narrow[place.y * ((long long)a.rows * a.width) + at] = pixel;
        }
    }
}

// grid: x over height * width, y the pictures
template <class Bits>
TSM_INLINE void picture_values_block(const PictureArgs& a, Place place) {
    TSM_SHARED(Bits, values, [VALUE_WORDS]);
    TSM_THREADS(t, PICTURE_THREADS) {
        for (int i = t; i < VALUE_WORDS; i += PICTURE_THREADS) values[i] = (Bits)a.words[COLOUR_WORDS + i];
    }
    TSM_BARRIER();
    TSM_THREADS(t, PICTURE_THREADS) {
        const int at = place.x * PICTURE_THREADS + t, plane = a.height * a.width;
        if (at < plane) {
            const int row = at / a.width, x = at - row * a.width;
            const Taps taps = taps_of(a.words + a.rows_at, a.height, row);
            const unsigned* from = a.narrow + place.y * ((long long)a.rows * a.width) + (long long)taps.start * a.width + x;
            int red = 0, green = 0, blue = 0;
            for (int tap = 0; tap < taps.length; ++tap) {
                const unsigned pixel = from[(long long)tap * a.width];
                const int weight = taps.weights[tap * taps.step];
                red += weight * (int)(pixel & 255);
                green += weight * (int)(pixel >> 8 & 255);
                blue += weight * (int)(pixel >> 16);
            }
            Bits* y = static_cast<Bits*>(a.y) + 3 * (long long)place.y * plane + at;
            y[0] = values[level_of(red)];
            y[plane] = values[256 + level_of(green)];
            y[2 * (long long)plane] = values[512 + level_of(blue)];
        }
    }
}
