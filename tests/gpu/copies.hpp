// Copies into shared memory that nobody waits for: cp.async.
#pragma once
#include "block.hpp"

// Carries out what a lane has begun, but for its last `but_last` groups.
void end_copies_of(Warp& warp, const Instruction& it, int lane, int but_last);
