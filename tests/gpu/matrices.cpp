// wmma: products of matrices of 16 x 16 that a whole warp holds. Factors are halves by rows, sums f32.
//
//   shared memory ─ load ─► a, b: eight words a lane, row r in lane r and, again, in lane r + 16
//                           c, d: eight words a lane, row r in lanes 2r and 2r + 1
//                   store ◄─ d = a b + c
//
// Where a GPU keeps which element is nobody's business, and no kernel may rely on it: this is one way of many.
#include "block.hpp"
#include "fault.hpp"
#include "instructions.hpp"

static const int SIZE = 16;
static const int WORDS = 8;  // of a lane
// What the instruction asks of its address and of a row's length, in bytes.
static const u32 ADDRESS_BYTES = 32;
static const u32 ROW_BYTES = 16;

struct Rows {
    u64 at;
    u64 stride_bytes;
};

static void expect_whole_warp(const Warp& warp, const Instruction& it, u32 lanes) {
    if (lanes != ALL_LANES) fault(warp, it, lowest_lane(~lanes), "wmma with lanes missing", lanes);
}

// All lanes have to name the same matrix.
static Rows rows_of(Warp& warp, const Instruction& it, u32 lanes) {
    expect_whole_warp(warp, it, lanes);
    const u64 at = address_of(warp, it.address, 0);
    const u32* strides = registers_of<u32>(warp, it.b);
    for (int lane = 0; lane < 32; ++lane) {
        if (address_of(warp, it.address, lane) != at || strides[lane] != strides[0])
            fault(warp, it, lane, "wmma of lanes that disagree", address_of(warp, it.address, lane));
    }
    if (at % ADDRESS_BYTES) fault(warp, it, 0, "wmma of an address that is no multiple of 32 bytes", at);
    const u64 stride_bytes = (u64)strides[0] * it.width;
    if (stride_bytes % ROW_BYTES) fault(warp, it, 0, "wmma of rows that are no multiple of 16 bytes", stride_bytes);
    return {at, stride_bytes};
}

static u8* row_access(Warp& warp, const Instruction& it, const Rows& rows, int row, Use use) {
    const u64 at = rows.at + row * rows.stride_bytes;
    u8* first = warp.block->shared.access_by_warp(warp, it, at, ROW_BYTES, use);
    for (int bytes = ROW_BYTES; bytes < SIZE * it.width; bytes += ROW_BYTES)
        warp.block->shared.access_by_warp(warp, it, at + bytes, ROW_BYTES, use);
    return first;
}

static u32* word_at(Warp& warp, int place, int lane) { return registers_of<u32>(warp, place) + lane; }

static void load_factor(Warp& warp, const Instruction& it, u32 lanes) {
    const Rows rows = rows_of(warp, it, lanes);
    for (int row = 0; row < SIZE; ++row) {
        const u8* from = row_access(warp, it, rows, row, Use::LOAD);
        for (int i = 0; i < WORDS; ++i) {
            std::memcpy(word_at(warp, it.places[i], row), from + 4 * i, 4);
            std::memcpy(word_at(warp, it.places[i], row + SIZE), from + 4 * i, 4);
        }
    }
}

static void load_sums(Warp& warp, const Instruction& it, u32 lanes) {
    const Rows rows = rows_of(warp, it, lanes);
    for (int row = 0; row < SIZE; ++row) {
        const u8* from = row_access(warp, it, rows, row, Use::LOAD);
        for (int i = 0; i < WORDS; ++i) {
            std::memcpy(word_at(warp, it.places[i], 2 * row), from + 4 * i, 4);
            std::memcpy(word_at(warp, it.places[i], 2 * row + 1), from + 4 * (WORDS + i), 4);
        }
    }
}

static void store_sums(Warp& warp, const Instruction& it, u32 lanes) {
    const Rows rows = rows_of(warp, it, lanes);
    for (int row = 0; row < SIZE; ++row) {
        u8* to = row_access(warp, it, rows, row, Use::STORE);
        for (int i = 0; i < WORDS; ++i) {
            std::memcpy(to + 4 * i, word_at(warp, it.places[i], 2 * row), 4);
            std::memcpy(to + 4 * (WORDS + i), word_at(warp, it.places[i], 2 * row + 1), 4);
        }
    }
}

typedef float Matrix[SIZE][SIZE];

static void read_factor(Warp& warp, const int* places, Matrix& factor) {
    for (int row = 0; row < SIZE; ++row) {
        for (int i = 0; i < WORDS; ++i) {
            half_t both[2];
            std::memcpy(both, word_at(warp, places[i], row), 4);
            factor[row][2 * i] = both[0];
            factor[row][2 * i + 1] = both[1];
        }
    }
}

static void read_sums(Warp& warp, const int* places, Matrix& sums) {
    for (int row = 0; row < SIZE; ++row) {
        for (int i = 0; i < WORDS; ++i) {
            std::memcpy(&sums[row][i], word_at(warp, places[i], 2 * row), 4);
            std::memcpy(&sums[row][WORDS + i], word_at(warp, places[i], 2 * row + 1), 4);
        }
    }
}

static void write_sums(Warp& warp, const int* places, const Matrix& sums) {
    for (int row = 0; row < SIZE; ++row) {
        for (int i = 0; i < WORDS; ++i) {
            std::memcpy(word_at(warp, places[i], 2 * row), &sums[row][i], 4);
            std::memcpy(word_at(warp, places[i], 2 * row + 1), &sums[row][WORDS + i], 4);
        }
    }
}

static void multiply(Warp& warp, const Instruction& it, u32 lanes) {
    expect_whole_warp(warp, it, lanes);
    Matrix a, b, sums;
    read_factor(warp, &it.places[WORDS], a);
    read_factor(warp, &it.places[2 * WORDS], b);
    read_sums(warp, &it.places[3 * WORDS], sums);
    for (int row = 0; row < SIZE; ++row)
        for (int k = 0; k < SIZE; ++k)
            for (int column = 0; column < SIZE; ++column) sums[row][column] += a[row][k] * b[k][column];
    write_sums(warp, &it.places[0], sums);
}

static void make_product(Parser& parser, const Statement& statement, Instruction* made) {
    const string ending = ".row.row.m16n16k16.f32.f32";
    const string& operation = statement.operation;
    if (operation.size() < ending.size() || operation.substr(operation.size() - ending.size()) != ending)
        statement.refuse();
    for (const string& operand : statement.operands)
        for (int place : parser.vector_of(operand, 4)) made->places.push_back(place);
    if (made->places.size() != 4 * WORDS) statement.refuse();
    made->action = multiply;
}

void make_matrix(Parser& parser, const Statement& statement, Instruction* made) {
    if (statement.words.size() < 4 || !statement.has("sync")) statement.refuse();
    made->members = parser.operand("0xffffffff", 4);
    if (statement.words[1] == "mma") return make_product(parser, statement, made);
    const bool is_load = statement.words[1] == "load";
    const bool is_sums = statement.words[2] == "c" || statement.words[2] == "d";
    const bool is_fitting = statement.words.back() == (is_sums ? "f32" : "f16");
    for (const char* word : {"row", "m16n16k16", "shared"})
        if (!is_fitting || !statement.has(word)) statement.refuse();
    made->places = parser.vector_of(statement.operand(is_load ? 0 : 1), 4);
    made->address = parser.address(statement.operand(is_load ? 1 : 0));
    made->b = parser.operand(statement.operand(2), 4);
    made->width = is_sums ? 4 : 2;
    if (made->places.size() != WORDS) statement.refuse();
    made->action = is_load ? (is_sums ? load_sums : load_factor) : store_sums;
}
