// Streams: queues that are carried out when somebody waits for them.
#include <set>

#include "driver.hpp"
#include "fault.hpp"
#include "settings.hpp"

struct Streams {
    std::shared_ptr<Stream> of_nobody = std::make_shared<Stream>();  // the one of handle 0
    std::set<std::shared_ptr<Stream>> made;
};

static Streams& streams() {
    static Streams* all = new Streams;
    return *all;
}

std::unique_lock<std::recursive_mutex> lock_driver() {
    static std::recursive_mutex* driver = new std::recursive_mutex;
    return std::unique_lock(*driver);
}

void Stream::run_next() {
    const Work work = std::move(queue.front());
    queue.pop_front();
    work();
}

void Stream::run_all() {
    while (!queue.empty()) run_next();
}

std::shared_ptr<Stream> stream_of(CUstream handle) {
    if (!handle || handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD) return streams().of_nobody;
    for (const auto& stream : streams().made)
        if ((CUstream)stream.get() == handle) return stream;
    stop("a stream that is none, or is none any more");
}

void run_all_streams() {
    streams().of_nobody->run_all();
    for (const auto& stream : streams().made) stream->run_all();
}

CUresult refuse(const char* who, CUresult error, const char* why) {
    if (settings().is_verbose) say("%s is refused: %s (error %d)", who, why, error);
    return error;
}

// Whether a capture of this mode minds what this thread does.
static bool minds(const Stream& stream) {
    if (!stream.captured || stream.mode == CU_STREAM_CAPTURE_MODE_RELAXED) return false;
    return stream.mode == CU_STREAM_CAPTURE_MODE_GLOBAL || stream.capturer == std::this_thread::get_id();
}

CUresult expect_no_capture(const char* who) {
    if (const CUresult refused = expect_context(who)) return refused;
    for (const auto& stream : streams().made) {
        if (!minds(*stream)) continue;
        stream->is_broken = true;
        return refuse(who, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "not while a stream is captured");
    }
    return CUDA_SUCCESS;
}

CUresult expect_no_capture_of(const char* who, CUstream handle) {
    if (const CUresult refused = expect_context(who)) return refused;
    const auto stream = stream_of(handle);
    if (!stream->captured) return CUDA_SUCCESS;
    stream->is_broken = true;
    return refuse(who, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "not of a stream that is captured");
}

CUresult enqueue(CUstream handle, Work work) {
    const auto stream = stream_of(handle);
    if (stream->is_broken) return refuse(__func__, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "the capture is broken");
    if (stream->captured)
        stream->captured->push_back(std::move(work));
    else
        stream->queue.push_back(std::move(work));
    return CUDA_SUCCESS;
}

extern "C" {

CUresult cuStreamCreate(CUstream* made, unsigned) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    const auto stream = std::make_shared<Stream>();
    streams().made.insert(stream);
    *made = (CUstream)stream.get();
    return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream handle) {
    const auto locked = lock_driver();
    const auto stream = stream_of(handle);
    stream->run_all();
    streams().made.erase(stream);
    return CUDA_SUCCESS;
}

CUresult cuStreamSynchronize(CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture_of(__func__, stream)) return refused;
    stream_of(stream)->run_all();
    return CUDA_SUCCESS;
}

// Everything is done whenever it is asked for.
CUresult cuStreamQuery(CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture_of(__func__, stream)) return refused;
    stream_of(stream)->run_all();
    return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize() {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    run_all_streams();
    return CUDA_SUCCESS;
}

// For the libraries beside this one (cublas.cpp).
// A graph carries its work out again and again, so the argument is let go of when nobody holds the work any more.
int tsm_ptx_enqueue(void* stream, void (*function)(void*), void* argument, void (*let_go)(void*)) {
    const auto locked = lock_driver();
    const std::shared_ptr<void> held(argument, let_go);
    return enqueue((CUstream)stream, [=] { function(held.get()); });
}

}  // extern "C"
