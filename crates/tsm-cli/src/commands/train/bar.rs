//! The progress of a training run: a bar on a terminal, lines elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tsm_train::progress::{BatchReport, Event, Observer, WrongCounts};
use tsm_train::report::EpochRecord;

use crate::talk;

/// Shows events; nothing with `--quiet`.
pub(super) struct Bar {
    is_quiet: bool,
    bar: ProgressBar,
}

impl Bar {
    pub(super) fn new(is_quiet: bool) -> Self {
        // Drawn to stderr, and only where that is a terminal.
        let bar = if is_quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
        // `wide_msg` is cut where the terminal ends: a line that wraps cannot be drawn over.
        let style = ProgressStyle::with_template("{bar:16} {pos}/{len} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_unknown| ProgressStyle::default_bar()));
        Self { is_quiet, bar }
    }

    /// Takes the bar off the terminal.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        if !self.is_quiet {
            self.bar.suspend(|| talk::line(text));
        }
    }

    fn batch(&self, report: &BatchReport) {
        self.bar.set_length(report.batches as u64);
        self.bar.set_position(report.batches_done as u64);
        self.bar.set_message(bar_text(report));
        if report.is_log_line {
            self.line(&format!("step {} {}", report.step, batch_text(report)));
        }
    }
}

impl Observer for Bar {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Started { recipe, train_clips, validation_clips, resumed_at } => {
                let at = match resumed_at {
                    None => String::new(),
                    Some(at) if at.epoch < recipe.epochs => {
                        format!("; going on in epoch {} after {} batches", at.epoch + 1, at.batch)
                    }
                    Some(_) => "; all epochs are done".to_owned(),
                };
                let clips = format!("{train_clips} training clips, {validation_clips} validation clips");
                self.line(&format!("{clips}{at}"));
            }
            Event::WrongCounts(WrongCounts { folders, of, first, said, held }) => {
                let first = talk::escaped(&first.display().to_string());
                self.line(&format!(
                    "tsm: {folders} of {of} folders do not hold as many frames as their list says, the first: {first}, \
                     {held} and not {said}; the frames that are there are used"
                ));
            }
            Event::MotionPaths { paths } => {
                let (features, lost) = (paths.features.len(), 100.0 * paths.most_given_up);
                self.line(&if paths.sees_change {
                    format!(
                        "{features} features see motion from the start; at most {lost:.1} % of what a stage's layers see was given up"
                    )
                } else {
                    "nothing changes from frame to frame here, or there is no shift: no feature will see motion".to_owned()
                });
            }
            Event::HeadBatch { clips, all } => {
                self.bar.set_length(*all as u64);
                self.bar.set_position(*clips as u64);
                self.bar.set_message("features for the first head");
            }
            Event::HeadSolved { held_out_top1 } => {
                let percent = 100.0 * held_out_top1;
                self.line(&format!(
                    "first head solved: top-1 {percent:.1} % of training clips whose group it had not seen"
                ));
            }
            Event::StartJudged { valid_loss, valid_top1 } => {
                let percent = 100.0 * valid_top1;
                self.line(&format!(
                    "start: centre view of the validation clips: loss {valid_loss:.4}, top-1 {percent:.1} %, the best so far"
                ));
            }
            Event::Batch(report) => self.batch(report),
            Event::Skipped { reason, .. } => self.line(&format!("left out: {}", talk::escaped(reason))),
            Event::Epoch { record, is_best, is_whole } => self.line(&epoch_text(record, *is_best, *is_whole)),
            _ => {}
        }
    }
}

/// An epoch that is done. Before the network `is_whole` its model ranks below all that are.
fn epoch_text(record: &EpochRecord, is_best: bool, is_whole: bool) -> String {
    let (epoch, loss, top1) = (record.epoch, record.train_loss, 100.0 * record.train_top1);
    let learned = format!("epoch {epoch}: loss {loss:.4}, top-1 {top1:.1} %");
    let (Some(loss), Some(top1)) = (record.valid_loss, record.valid_top1) else { return learned };
    let rank = match (is_best, is_whole) {
        (true, true) => ", the best so far",
        (true, false) => ", the best so far, while head or shift are still coming in",
        (false, false) => "; ranks below those of the whole network, head or shift are still coming in",
        (false, true) => "",
    };
    let top1 = 100.0 * top1;
    format!("{learned}; centre view of the validation clips: loss {loss:.4}, top-1 {top1:.1} %{rank}")
}

/// The line that lives, the most wanted first: a narrow terminal cuts its end.
fn bar_text(report: &BatchReport) -> String {
    format!(
        "epoch {}/{}, {} left, loss {:.3}, top-1 {:.0} %, {:.1} clips/s, lr {:.1e}",
        report.epoch + 1,
        report.epochs,
        clock(report.remaining),
        report.loss,
        100.0 * report.top1,
        report.clips_per_sec,
        report.lr
    )
}

fn batch_text(report: &BatchReport) -> String {
    format!(
        "epoch {}/{}: loss {:.4}, top-1 {:.1} %, lr {:.2e}, {:.1} clips/s, {} left",
        report.epoch + 1,
        report.epochs,
        report.loss,
        100.0 * report.top1,
        report.lr,
        report.clips_per_sec,
        clock(report.remaining)
    )
}

/// `1:02:03` or `2:03`.
fn clock(time: Duration) -> String {
    let secs = time.as_secs();
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{secs:02}") } else { format!("{minutes}:{secs:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_as_a_clock_shows_it() {
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(clock(Duration::from_secs(62)), "1:02");
    }
}
