// Captures, and the graphs that come of them: what would have been queued, to be queued as often as wanted.
//
//   begin ─ calls ─► Graph ─ cuStreamEndCapture, cuGraphInstantiate ─► cuGraphLaunch ─► one piece of work
#include <utility>

#include "driver.hpp"

typedef std::shared_ptr<const Graph> Held;

static Held& graph_of(void* handle) { return *(Held*)handle; }

extern "C" {

CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_context(__func__)) return refused;
    const auto stream = stream_of(handle);
    if (stream == stream_of(nullptr))
        return refuse(__func__, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the stream is the default one");
    if (stream->captured) return refuse(__func__, CUDA_ERROR_ILLEGAL_STATE, "the stream is captured already");
    stream->captured = std::make_shared<Graph>();
    stream->is_broken = false;
    stream->mode = mode;
    stream->capturer = std::this_thread::get_id();
    return CUDA_SUCCESS;
}

CUresult cuStreamEndCapture(CUstream handle, CUgraph* made) {
    const auto locked = lock_driver();
    const auto stream = stream_of(handle);
    *made = nullptr;
    if (!stream->captured) return refuse(__func__, CUDA_ERROR_ILLEGAL_STATE, "the stream is not captured");
    const bool is_anothers = stream->mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
                             stream->capturer != std::this_thread::get_id();
    if (is_anothers) return refuse(__func__, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "another thread began it");
    const Held captured = std::exchange(stream->captured, nullptr);
    const bool was_broken = std::exchange(stream->is_broken, false);
    if (was_broken) return refuse(__func__, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "the capture is broken");
    *made = (CUgraph) new Held(captured);
    return CUDA_SUCCESS;
}

CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus* status) {
    const auto locked = lock_driver();
    const auto stream = stream_of(handle);
    *status = stream->is_broken  ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
              : stream->captured ? CU_STREAM_CAPTURE_STATUS_ACTIVE
                                 : CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* made, CUgraph graph, unsigned long long) {
    const auto locked = lock_driver();
    *made = (CUgraphExec) new Held(graph_of(graph));
    return CUDA_SUCCESS;
}

CUresult cuGraphUpload(CUgraphExec, CUstream) { return CUDA_SUCCESS; }

CUresult cuGraphLaunch(CUgraphExec graph, CUstream stream) {
    const auto locked = lock_driver();
    if (const CUresult refused = expect_no_capture_of(__func__, stream)) return refused;
    const Held launched = graph_of(graph);
    return enqueue(stream, [launched] {
        for (const Work& work : *launched) work();
    });
}

// What was launched of it goes on, as with a driver.
CUresult cuGraphExecDestroy(CUgraphExec graph) {
    const auto locked = lock_driver();
    delete &graph_of(graph);
    return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(CUgraph graph) {
    const auto locked = lock_driver();
    delete &graph_of(graph);
    return CUDA_SUCCESS;
}

}  // extern "C"
