//! Labels a source: `cargo run --example label_source -- model.safetensors webcam`

use std::time::Duration;

use tsm_ingest::{SessionOptions, Source};
use tsm_live::settings::{DecisionRule, DecisionSettings, LiveSettings, RateChoice, Retries};
use tsm_live::sinks::{Text, TextStyle};
use tsm_model::checkpoint::{Checkpoint, SpecOverrides};
use tsm_model::{Device, Model};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, source] = arguments.as_slice() else {
        return Err("give a model and a source".into());
    };
    let checkpoint = Checkpoint::open(file.as_ref(), &SpecOverrides::default())?;
    let mut model = Model::load(&checkpoint, Device::Cpu)?;
    let labels = model.spec().classes.clone().into();
    let settings = LiveSettings {
        rate: RateChoice::Model,
        decision: DecisionSettings {
            window: None,
            rule: DecisionRule::Confirm { frames: 2 },
            temperature: checkpoint.spec.temperature,
            top_k: 5,
        },
        session: SessionOptions::default(),
        stall_timeout: Duration::from_secs(5),
        retries: Retries::Forever,
        frame_limit: None,
    };
    let sink = Box::new(Text::new(std::io::stdout(), labels, TextStyle::Plain, 1));
    // Whoever holds the other end can stop the run by a message.
    let (_stop, stopped) = crossbeam_channel::bounded(1);
    tsm_live::run(&mut model, &[Source::parse(source)?], &settings, vec![sink], None, &stopped)?;
    Ok(())
}
