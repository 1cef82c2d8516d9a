//! Window and confirmation as a person sees them.

use tsm_tests::program::run;
use tsm_tests::shared;

#[test]
fn window_and_confirmation_of_one_show_the_raw_class() {
    let clip = shared::clip("asl-walk.mkv");
    let finished =
        run(&["live", clip.to_str().unwrap(), "--format", "jsonl", "--window", "1", "--confirm", "1"]);
    let frames = finished.frames();
    assert!(frames.len() > 30, "{}", finished.stderr);
    for line in frames {
        assert_eq!(line["class"], line["raw_class"]);
        assert_eq!(line["confidence"], line["raw_confidence"]);
    }
}

#[test]
fn a_long_confirmation_holds_the_first_label() {
    let clip = shared::clip("asl-walk.mkv");
    let finished =
        run(&["live", clip.to_str().unwrap(), "--format", "jsonl", "--window", "1", "--confirm", "99"]);
    let frames = finished.frames();
    assert!(frames.iter().all(|line| line["label"] == frames[0]["label"]));
    assert!(frames.iter().any(|line| line["raw_label"] != frames[0]["raw_label"]), "the clip never changes");
}
