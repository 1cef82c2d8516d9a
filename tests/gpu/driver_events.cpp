// Events: places in a stream's queue that others wait for.
//
//   cuEventRecord ─► Moment in the queue of its stream ◄─ wait ─ another stream's work, the host
#include "driver.hpp"

#include <chrono>
#undef cuEventElapsedTime

static Event* event_of(CUevent handle) { return (Event*)handle; }

static double now_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Moment::wait() {
    while (!is_past) stream->run_next();
}

static void wait_for(const Event& event) {
    if (event.moment) event.moment->wait();
}

extern "C" {

CUresult cuEventCreate(CUevent* made, unsigned) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    *made = (CUevent) new Event;
    return CUDA_SUCCESS;
}

// What is queued of it stays there, as with a driver.
CUresult cuEventDestroy_v2(CUevent handle) {
    const auto locked = lock_driver();
    delete event_of(handle);
    return CUDA_SUCCESS;
}

// In a capture it is an edge of the graph, which is a line here: nothing is to be done.
CUresult cuEventRecord(CUevent handle, CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    const auto moment = std::make_shared<Moment>();
    moment->stream = stream_of(stream);
    if (moment->stream->captured) return enqueue(stream, [] {});
    event_of(handle)->moment = moment;
    // The queue must not hold the stream that holds the queue.
    return enqueue(stream, [moment] {
        moment->is_past = true;
        moment->at_seconds = now_seconds();
        moment->stream.reset();
    });
}

CUresult cuStreamWaitEvent(CUstream stream, CUevent handle, unsigned) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    const auto moment = event_of(handle)->moment;
    if (!moment) return CUDA_SUCCESS;
    if (stream_of(stream)->captured) {
        stream_of(stream)->is_broken = true;
        return refuse(__func__, CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "the event is from outside the capture");
    }
    return enqueue(stream, [moment] { moment->wait(); });
}

CUresult cuEventQuery(CUevent handle) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    wait_for(*event_of(handle));
    return CUDA_SUCCESS;
}

CUresult cuEventSynchronize(CUevent handle) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture(__func__)) return refused;
    wait_for(*event_of(handle));
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime_v2(float* millis, CUevent from, CUevent to) {
    const auto locked = lock_driver();
    const auto begin = event_of(from)->moment;
    const auto end = event_of(to)->moment;
    if (!begin || !end) return refuse(__func__, CUDA_ERROR_INVALID_HANDLE, "an event was never recorded");
    if (!begin->is_past || !end->is_past) return refuse(__func__, CUDA_ERROR_NOT_READY, "nobody waited for the events");
    *millis = (end->at_seconds - begin->at_seconds) * 1e3;
    return CUDA_SUCCESS;
}

CUresult cuEventElapsedTime(float* millis, CUevent from, CUevent to) { return cuEventElapsedTime_v2(millis, from, to); }

}  // extern "C"
