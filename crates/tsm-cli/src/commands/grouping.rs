//! The flags that group clips, as the rule that `train` and `prepare` divide by.

use std::path::Path;

use tsm_train::dataset::groups::GroupRule;

use crate::args::offline::GroupArgs;
use crate::exit_code::Failure;

/// How the clips of `source` are grouped.
///
/// # Errors
/// An expression that is none.
pub(super) fn rule(args: &GroupArgs, source: &Path) -> Result<GroupRule, Failure> {
    Ok(match (&args.groups, &args.group_regex) {
        (Some(table), _) => GroupRule::Table(table.clone()),
        (None, Some(regex)) => GroupRule::regex(regex)?,
        (None, None) => GroupRule::of_source(source),
    })
}
