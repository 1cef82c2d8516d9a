//! Labels frames of two streams in one step each: `cargo run --example label_frames -- model.safetensors`
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
use tsm_model::{Device, Model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("give a model")?;
    let checkpoint = Checkpoint::open(file.as_ref(), &SpecOverrides::default())?;
    let mut model = Model::load(&checkpoint, Device::Cpu)?;
    let side = model.spec().input.size_px;
    let classes = model.spec().classes.clone();

    let mut left = model.fresh_state();
    let mut right = model.fresh_state();
    let mut logits = vec![0.0; 2 * classes.len()];
    for brightness in [-1.0, 0.0, 1.0] {
        // Two normalised pictures `[3, side, side]`, one a stream.
        let mut frames = vec![brightness; 3 * side * side];
        frames.extend(vec![-brightness; 3 * side * side]);
        model.step(&frames, &mut [&mut left, &mut right], &mut logits)?;
        for (stream, row) in logits.chunks_exact(classes.len()).enumerate() {
            let best = (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0);
            println!("stream {stream}: {} ({:.2})", classes[best], row[best]);
        }
    }
    Ok(())
}
