// Results that are rounded down, up or towards zero: the host's own arithmetic under another rounding.
#include <cfenv>

#include "block.hpp"
#include "instructions.hpp"

static void run_rounded(Warp& warp, const Instruction& it, u32 lanes) {
    std::fesetround(it.manner);
    it.rounded(warp, it, lanes);
    std::fesetround(FE_TONEAREST);
}

void round_as_asked(const Statement& statement, Instruction* made) {
    const bool is_down = statement.has("rm");
    const bool is_up = statement.has("rp");
    if (!is_down && !is_up && !statement.has("rz")) return;
    // Halves are rounded from f32, and the conversion does not ask the host's rounding everywhere.
    if (!made->action || statement.type().width < 4) statement.refuse();
    made->rounded = made->action;
    made->manner = is_down ? FE_DOWNWARD : is_up ? FE_UPWARD : FE_TOWARDZERO;
    made->action = run_rounded;
}
