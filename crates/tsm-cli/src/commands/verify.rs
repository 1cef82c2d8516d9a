//! `tsm verify`: does this model compute what the reference did?

use tsm_model::verify::{Vectors, verify};

use crate::args::VerifyArgs;
use crate::exit_code::{Exit, Failure};
use crate::{model_source, talk};

/// Prints the largest difference of each row.
///
/// # Errors
/// A model or vectors that cannot be used.
pub(crate) fn run(args: &VerifyArgs) -> Result<Exit, Failure> {
    let checkpoint = model_source::open(&args.model)?;
    let vectors = Vectors::open(&args.vectors)?;
    let differences = verify(checkpoint, args.device.open()?, &vectors, args.expect.as_deref())?;
    let mut worst = 0.0f64;
    for row in &differences {
        talk::result(&format!("{:<28} {:.3e}", row.name, row.largest))?;
        worst = worst.max(row.largest);
    }
    let is_within = worst <= args.tolerance;
    let verdict = if is_within { "within" } else { "above" };
    talk::result(&format!(
        "largest difference {worst:.3e}, {verdict} the tolerance of {:e}",
        args.tolerance
    ))?;
    Ok(if is_within { Exit::Done } else { Exit::Differs })
}
