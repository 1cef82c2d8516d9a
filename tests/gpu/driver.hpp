// What the driver's functions share: its lock, streams, events and graphs, and how they refuse.
//
//   call ─ is there a context? ─ may it be made in a capture? ─► stream's queue ─ somebody waits ─► carried out
//                                                            └► graph, while the stream is captured
//
// A stream does nothing until it is waited for: the latest a GPU could, so what relies on less is seen.
#pragma once

#include <cuda.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "numbers.hpp"

typedef std::function<void()> Work;
typedef std::vector<Work> Graph;

struct Stream {
    std::deque<Work> queue;
    std::shared_ptr<Graph> captured;  // while it is captured
    bool is_broken = false;           // the capture, by what must not be in one
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
    std::thread::id capturer;

    void run_next();
    void run_all();
};

// One recording of an event. It outlives the event: a stream may still come by it.
struct Moment {
    std::shared_ptr<Stream> stream;
    bool is_past = false;
    double at_seconds = 0;

    void wait();
};

struct Event {
    std::shared_ptr<Moment> moment;  // of the last recording
};

// Held by every function over all it does; launches run under it, one after the other.
std::unique_lock<std::recursive_mutex> lock_driver();

std::shared_ptr<Stream> stream_of(CUstream handle);
void run_all_streams();
// Into the stream's queue, or its graph.
CUresult enqueue(CUstream stream, Work work);

// Says why, if asked to, and returns the error.
CUresult refuse(const char* who, CUresult error, const char* why);
// CUDA_SUCCESS where the call may be made: this thread has a context, and nobody wants it to fail (driver_failures.hpp).
CUresult expect_context(const char* who);
// And, besides, no capture is under way that it would break; it is broken, then.
CUresult expect_no_capture(const char* who);
// And, besides, this stream is not captured.
CUresult expect_no_capture_of(const char* who, CUstream stream);
