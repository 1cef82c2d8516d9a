//! `tsm convert`: a foreign checkpoint becomes a model file of ours.

use std::path::Path;

use tsm_model::checkpoint::Checkpoint;

use crate::args::{ConvertArgs, ModelArgs, SpecArgs};
use crate::exit_code::{Exit, Failure};
use crate::model_source::{self, ModelSource};
use crate::talk;

/// Writes the model file and says what it holds.
///
/// # Errors
/// An input that is no model or contradicts the flags; an output that cannot be written, or is a file of another kind.
pub(crate) fn run(args: &ConvertArgs) -> Result<Exit, Failure> {
    if args.output == Path::new("-") {
        return Err(Failure::bad_input("-: OUT is a file, not stdout; name one, such as model.safetensors"));
    }
    let SpecArgs { backbone, shift, place, shift_div, segments, ref labels } = args.spec;
    let spec = SpecArgs { backbone, shift, place, shift_div, segments, labels: labels.clone() };
    let overrides = model_source::overrides(&ModelArgs { model: None, spec })?;
    let checkpoint = model_source::open_from(&ModelSource::File(args.input.clone()), &overrides)?;
    // A foreign checkpoint holds more than we keep of it, and may be the only copy.
    if let (Ok(input), Ok(output)) = (args.input.canonicalize(), args.output.canonicalize())
        && input == output
    {
        return Err(Failure::bad_input(format!("{}: is IN, too; name another OUT", args.output.display())));
    }
    Checkpoint::check_target(&args.output)?;
    checkpoint.save(&args.output, args.storage.into())?;
    let (output, text) = (args.output.display(), super::info::one_line(&checkpoint.spec));
    talk::result(&talk::escaped(&format!("{output}: {text}")))?;
    Ok(Exit::Done)
}
