//! Writes the zeros around a picture, row by row as its pixels are written.

use super::layout::Layout;

/// Clears what borders row `y` of a block: its ends, and the rows above the first and below the last.
///
/// # Safety
/// `block` is a block of `layout`; nobody else touches these pixels meanwhile.
pub(super) unsafe fn clear(layout: &Layout, block: *mut f32, y: usize) {
    let border = layout.border();
    if border == 0 {
        return;
    }
    let (ends, pitch) = (border * layout.pixel(), layout.pitch());
    let row = block.wrapping_add(layout.bordered_row(y + border));
    // SAFETY: the row begins with its border.
    unsafe { row.write_bytes(0, ends) };
    // SAFETY: and ends with it.
    unsafe { row.wrapping_add(pitch - ends).write_bytes(0, ends) };
    for beyond in 0..border {
        if y == 0 {
            // SAFETY: the rows above the first are part of the block.
            unsafe { block.wrapping_add(layout.bordered_row(beyond)).write_bytes(0, pitch) };
        }
        if y + 1 == layout.height() {
            let below = layout.bordered_row(y + 1 + border + beyond);
            // SAFETY: and so are those below the last.
            unsafe { block.wrapping_add(below).write_bytes(0, pitch) };
        }
    }
}
