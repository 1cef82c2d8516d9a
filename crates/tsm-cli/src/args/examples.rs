//! What stands at the head of each help: commands to copy, in lines that a terminal of 80 columns does not break.

pub(super) const TSM: &str = "\
Examples:
  tsm live webcam                                label what the camera sees
  tsm live rtsp://user:password@camera/stream    a network camera
  tsm doctor                                     what is here, what is missing";

#[cfg(feature = "video")]
pub(super) const LIVE: &str = "\
Examples:
  tsm live webcam                                label what the camera sees
  tsm live rtsp://user:password@camera/stream    a network camera
  tsm live clip.mp4 --format jsonl               a file, one JSON object a frame
  tsm live rtsp://a/1 rtsp://b/1 --format jsonl  several cameras in one process
  tsm live --pipeline my.launch /dev/video2      a pipeline of your own";

#[cfg(feature = "video")]
pub(super) const DEVICES: &str = "\
Examples:
  tsm devices            the cameras, numbered as `tsm live webcam:1` does
  tsm devices --json     the same for a program";

#[cfg(feature = "video")]
pub(super) const DOCTOR: &str = "\
Examples:
  tsm doctor                                     this machine
  tsm doctor rtsp://user:password@camera/stream  and what that camera sends
  tsm doctor --model model.safetensors           and that model";

pub(super) const CONVERT: &str = "\
Examples:
  tsm convert mobilenet_v2.pth m.safetensors --shift causal --labels labels.txt
  tsm convert resnet50.pth half.safetensors --storage f16";

pub(super) const INFO: &str = "\
Examples:
  tsm info                             the built-in model
  tsm info model.safetensors --json    a model of your own, for a program";

pub(super) const VERIFY: &str = "\
Examples:
  tsm verify --model model.safetensors --vectors recorded.safetensors
  tsm verify --model model.pth --vectors frames.safetensors \\
    --vectors logits.safetensors --tolerance 1e-4";

pub(super) const BENCH: &str = "\
Examples:
  tsm bench                                        the built-in model
  tsm bench --model model.safetensors --threads 1  a model of yours, one core
  tsm bench --batch 8 --json                       eight streams, for a program";

pub(super) const SELFTEST: &str = "\
Examples:
  tsm selftest                      this processor, within 3 minutes
  tsm selftest --device cuda        the first GPU, with all figures
  tsm selftest --device cuda --data-type f16 --json report.json";

#[cfg(feature = "video")]
pub(super) const COMPARE: &str = "\
Examples:
  tsm compare --first none-report/validation.json \\
    --second causal-report/validation.json
  tsm compare --first none-0.json none-1.json \\
    --second causal-0.json causal-1.json    two folds or seeds each";

#[cfg(feature = "video")]
pub(super) const TRAIN: &str = "\
Examples:
  tsm train clips/ -o model.safetensors           a folder a class is enough
  tsm train clips/ -o model.safetensors --resume  go on after an interruption
  tsm train --config model-report/config.toml     the same run once more
  tsm train clips/ -o model.safetensors --preset mit --backbone resnet50 \\
    --pretrained resnet50.pth";

#[cfg(feature = "video")]
pub(super) const EVAL: &str = "\
Examples:
  tsm eval --data clips/ --model m.safetensors --online   as a camera shows them
  tsm eval --list test.txt --model model.pth --crops 3 --sampling twice";

#[cfg(feature = "video")]
pub(super) const INFER: &str = "\
Examples:
  tsm infer a.mp4 b.mkv --model model.safetensors
  tsm infer --filelist files.txt --format csv --top-k 3";

#[cfg(feature = "video")]
pub(super) const PREPARE: &str = "\
Examples:
  tsm prepare clips/ -o lists/
  tsm prepare kinetics/train.csv -o lists/ --frames";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;

    #[test]
    fn examples_are_not_broken_on_a_terminal_of_80_columns() {
        let command = Cli::command();
        for each in std::iter::once(&command).chain(command.get_subcommands()) {
            let examples = each.get_before_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.starts_with("Examples:"), "{} has none", each.get_name());
            let widest = examples.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(80), "{}: {examples}", each.get_name());
        }
    }
}
