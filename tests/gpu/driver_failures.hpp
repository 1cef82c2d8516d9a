// Calls of the driver that shall fail, to see what the program makes of it: TSM_PTX_FAIL.
//
//   cuMemHostAlloc        every call        cuMemAlloc_v2:3       the third        cuMemAlloc_v2:3+      all from there on
//   several with commas between them; when the process ends it is said how many calls of each there were, and failed
#pragma once

#include <cuda.h>

// CUDA_SUCCESS, unless this call of `who` is to fail.
CUresult let_fail(const char* who);
