//! Laws that hold for any weights, and values that the reference code gave.

mod golden;
mod laws;
mod made_up;
