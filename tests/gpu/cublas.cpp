// libcublas: the products of matrices that training asks for, column by column, summed in f32 (f64 for f64).
//
//   call ─► Product in the stream's queue ─► a and b without strides and transposes ─► c = alpha a b + beta c
#include <cstdlib>
#include <vector>

#include "numbers.hpp"

extern "C" {
// Of libcuda.so.1 beside this one: driver_streams.cpp, driver_memory.cpp.
int tsm_ptx_enqueue(void* stream, void (*function)(void*), void* argument, void (*let_go)(void*));
void tsm_ptx_note_written(u64 address);
}

// cudaDataType and cublasComputeType_t, as far as they are known here.
enum DataType { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 };
enum ComputeType { IN_F16 = 64, IN_F16_PEDANTIC = 65, IN_F64 = 70, IN_F64_PEDANTIC = 71 };
enum Status { SUCCESS = 0, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };

struct Handle {
    void* stream = nullptr;
};

struct Operand {
    u8* first;
    int type;
    long leading;  // elements from one column to the next
    long stride;   // from one matrix of the batch to the next
    int is_transposed;
};

struct Product {
    int rows, columns, depth, batch;
    double alpha, beta;
    Operand a, b, c;
};

static double number_at(const u8* first, int type, long at) {
    switch (type) {
        case F32: return ((const float*)first)[at];
        case F64: return ((const double*)first)[at];
        case F16: return ((const half_t*)first)[at];
        default: return ((const brain_t*)first)[at];
    }
}

static void put_number(u8* first, int type, long at, double value) {
    switch (type) {
        case F32: ((float*)first)[at] = value; break;
        case F64: ((double*)first)[at] = value; break;
        case F16: ((half_t*)first)[at] = (half_t)(float)value; break;
        default: ((brain_t*)first)[at] = (brain_t)(float)value;
    }
}

// Column by column.
template <class Number>
static std::vector<Number> gathered(const Operand& from, int matrix, int rows, int columns) {
    std::vector<Number> numbers((size_t)rows * columns);
    for (int column = 0; column < columns; ++column) {
        for (int row = 0; row < rows; ++row) {
            const long at = from.is_transposed ? column + row * from.leading : row + column * from.leading;
            numbers[(size_t)column * rows + row] = number_at(from.first, from.type, matrix * from.stride + at);
        }
    }
    return numbers;
}

template <class Number>
static void multiply(const Product& product, int matrix) {
    const int rows = product.rows;
    const std::vector<Number> a = gathered<Number>(product.a, matrix, rows, product.depth);
    const std::vector<Number> b = gathered<Number>(product.b, matrix, product.depth, product.columns);
    std::vector<Number> sums(rows);
    for (int column = 0; column < product.columns; ++column) {
        sums.assign(rows, 0);
        for (int k = 0; k < product.depth; ++k) {
            const Number factor = b[(size_t)column * product.depth + k];
            const Number* from = &a[(size_t)k * rows];
            for (int row = 0; row < rows; ++row) sums[row] += from[row] * factor;
        }
        for (int row = 0; row < rows; ++row) {
            const Operand& c = product.c;
            const long at = matrix * c.stride + row + column * c.leading;
            const double before = product.beta == 0 ? 0 : product.beta * number_at(c.first, c.type, at);
            put_number(c.first, c.type, at, product.alpha * sums[row] + before);
        }
    }
}

static void carry_out(void* queued) {
    const Product& product = *(const Product*)queued;
    tsm_ptx_note_written((u64)product.c.first);
    for (int matrix = 0; matrix < product.batch; ++matrix) {
        if (product.c.type == F64)
            multiply<double>(product, matrix);
        else
            multiply<float>(product, matrix);
    }
}

static void let_go(void* queued) { delete (Product*)queued; }

static bool is_known(int type) { return type == F32 || type == F64 || type == F16 || type == BF16; }

static int type_of_scale(int compute) {
    if (compute == IN_F64 || compute == IN_F64_PEDANTIC) return F64;
    return compute == IN_F16 || compute == IN_F16_PEDANTIC ? F16 : F32;
}

extern "C" {

int cublasCreate_v2(void** handle) {
    *handle = new Handle;
    return SUCCESS;
}

int cublasDestroy_v2(void* handle) {
    delete (Handle*)handle;
    return SUCCESS;
}

int cublasSetStream_v2(void* handle, void* stream) {
    ((Handle*)handle)->stream = stream;
    return SUCCESS;
}

int cublasSetPointerMode_v2(void*, int is_on_device) { return is_on_device ? NOT_SUPPORTED : SUCCESS; }
int cublasSetMathMode(void*, int) { return SUCCESS; }
int cublasSetWorkspace_v2(void*, void*, size_t) { return SUCCESS; }

int cublasGemmStridedBatchedEx(
    void* handle, int transposes_a, int transposes_b, int rows, int columns, int depth, const void* alpha,
    const void* a, int a_type, int a_leading, long long a_stride, const void* b, int b_type, int b_leading,
    long long b_stride, const void* beta, void* c, int c_type, int c_leading, long long c_stride, int batch,
    int compute, int
) {
    if (!is_known(a_type) || !is_known(b_type) || !is_known(c_type)) return NOT_SUPPORTED;
    Product* product = new Product;
    product->rows = rows;
    product->columns = columns;
    product->depth = depth;
    product->batch = batch;
    product->alpha = number_at((const u8*)alpha, type_of_scale(compute), 0);
    product->beta = number_at((const u8*)beta, type_of_scale(compute), 0);
    product->a = {(u8*)a, a_type, a_leading, a_stride, transposes_a};
    product->b = {(u8*)b, b_type, b_leading, b_stride, transposes_b};
    product->c = {(u8*)c, c_type, c_leading, c_stride, 0};
    const int refused = tsm_ptx_enqueue(((Handle*)handle)->stream, carry_out, product, let_go);
    return refused ? EXECUTION_FAILED : SUCCESS;
}

int cublasGemmEx(
    void* handle, int transposes_a, int transposes_b, int rows, int columns, int depth, const void* alpha,
    const void* a, int a_type, int a_leading, const void* b, int b_type, int b_leading, const void* beta, void* c,
    int c_type, int c_leading, int compute, int algorithm
) {
    return cublasGemmStridedBatchedEx(
        handle, transposes_a, transposes_b, rows, columns, depth, alpha, a, a_type, a_leading, 0, b, b_type, b_leading,
        0, beta, c, c_type, c_leading, 0, 1, compute, algorithm
    );
}

int cublasSgemmStridedBatched(
    void* handle, int transposes_a, int transposes_b, int rows, int columns, int depth, const float* alpha,
    const float* a, int a_leading, long long a_stride, const float* b, int b_leading, long long b_stride,
    const float* beta, float* c, int c_leading, long long c_stride, int batch
) {
    return cublasGemmStridedBatchedEx(
        handle, transposes_a, transposes_b, rows, columns, depth, alpha, a, F32, a_leading, a_stride, b, F32, b_leading,
        b_stride, beta, c, F32, c_leading, c_stride, batch, F32, 0
    );
}

int cublasDgemmStridedBatched(
    void* handle, int transposes_a, int transposes_b, int rows, int columns, int depth, const double* alpha,
    const double* a, int a_leading, long long a_stride, const double* b, int b_leading, long long b_stride,
    const double* beta, double* c, int c_leading, long long c_stride, int batch
) {
    return cublasGemmStridedBatchedEx(
        handle, transposes_a, transposes_b, rows, columns, depth, alpha, a, F64, a_leading, a_stride, b, F64, b_leading,
        b_stride, beta, c, F64, c_leading, c_stride, batch, IN_F64, 0
    );
}

}  // extern "C"
