//! Clips a second of the loader:
//! `cargo run --release -p tsm-train --example loader_speed -- CLIPS_DIR SIZE_PX WORKERS [CLIPS]`.
//!
//! Two epochs of a training loader with nothing behind it, the first decoding, the second from memory.

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tsm_model::InputSpec;
use tsm_train::augment::{ColourJitter, Flip};
use tsm_train::clip_store::ClipStore;
use tsm_train::crop::TrainCrop;
use tsm_train::dataset;
use tsm_train::loader::{Loader, LoaderOptions, LoaderSource, Mode, TrainView};
use tsm_train::sampling::{Sampling, UniformRule};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, folder, size, workers, rest @ ..] = &arguments[..] else {
        return Err("usage: loader_speed CLIPS_DIR SIZE_PX WORKERS [CLIPS]".into());
    };
    let dataset = Arc::new(dataset::read(Path::new(folder), None)?.dataset);
    let most = rest.first().map_or(Ok(usize::MAX), |text| text.parse())?;
    // Spread over the classes.
    let step = dataset.clips.len().div_ceil(most.clamp(1, dataset.clips.len()));
    let clips: Arc<[usize]> = (0..dataset.clips.len()).step_by(step).collect();
    let flip = Flip::Auto.table(&dataset.classes)?;
    let jitter = ColourJitter { brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.05 };
    for (what, jitter) in [("plain", ColourJitter::default()), ("with colour jitter", jitter)] {
        let source = LoaderSource {
            dataset: Arc::clone(&dataset),
            clips: Arc::clone(&clips),
            store: Arc::new(ClipStore::new(8 << 30)),
            input: InputSpec::with_size(size.parse()?),
        };
        let sampling = Sampling::Uniform(UniformRule::Mit);
        let view =
            TrainView { sampling, segments: 8, crop: TrainCrop::MultiScale, flip: flip.clone(), jitter };
        let options = LoaderOptions { workers: workers.parse()?, end_epoch: 2, ..LoaderOptions::default() };
        let mut loader = Loader::start(&source, Mode::Train(view), &options)?;
        for epoch in ["decoding", "from memory"] {
            let mut skipped = 0;
            #[expect(clippy::disallowed_methods, reason = "it measures")]
            let began = Instant::now();
            for batch in loader.by_ref().take(usize::try_from(options_batches(clips.len()))?) {
                skipped += batch?.skipped.len();
            }
            let secs = began.elapsed().as_secs_f64();
            let rate = f64::from(u32::try_from(clips.len())?) / secs;
            let kept = source.store.kept_bytes() >> 20;
            writeln!(
                std::io::stdout(),
                "{what}, {epoch}: {rate:.1} clips/s ({secs:.2} s, {kept} MiB kept, {skipped} skipped)"
            )?;
        }
    }
    Ok(())
}

fn options_batches(clips: usize) -> u64 {
    clips.div_ceil(LoaderOptions::default().batch_clips) as u64
}
