//! `--decision mit` shows what MIT's own demo showed (`../shared/golden/mit-demo-postprocess.json`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use serde_json::Value;
use tsm_live::decision::Decider;
use tsm_live::settings::{DecisionRule, DecisionSettings};

const CLASSES: usize = 27;

/// The recorded cases; none, said loudly, where this is not the project's own machine.
fn golden() -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/golden/mit-demo-postprocess.json");
    if path.is_file() {
        return Some(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap());
    }
    assert!(std::env::var_os("TSM_REQUIRE_SHARED").is_none(), "{} is missing", path.display());
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("skipped: {} is missing", path.display());
    }
    None
}

fn decider(window: Option<usize>) -> Decider {
    let rule = DecisionRule::mit(CLASSES).unwrap();
    Decider::new(&DecisionSettings { window, rule, temperature: 1.0, top_k: 1 }, CLASSES, 12.0)
}

/// Shown classes up to where the demo itself stops with an `IndexError`.
fn shown(case: &Value) -> Vec<usize> {
    case["shown"].as_array().unwrap().iter().map_while(Value::as_u64).map(class_of).collect()
}

#[test]
fn the_rules_are_those_of_the_demo() {
    let Some(golden) = golden() else { return };
    for case in golden["refine"].as_array().unwrap() {
        let mut decider = decider(Some(1));
        let classes = case["argmax"].as_array().unwrap().iter().map(|v| class_of(v.as_u64().unwrap()));
        let found: Vec<usize> = classes
            .map(|class| {
                let mut logits = [0.0; CLASSES];
                logits[class] = 9.0;
                decider.decide(&logits).class
            })
            .collect();
        let expected = shown(case);
        assert_eq!(found[..expected.len()], expected, "{}", case["argmax"]);
    }
}

#[test]
fn the_window_is_that_of_the_demo() {
    let Some(golden) = golden() else { return };
    let mut compared = 0;
    for case in golden["refine_from_logits"].as_array().unwrap() {
        let mut decider = decider(None);
        let rows = case["logits"].as_array().unwrap();
        let found: Vec<usize> = rows
            .iter()
            .map(|row| row.as_array().unwrap().iter().map(as_f32).collect::<Vec<_>>())
            .map(|logits| decider.decide(&logits).class)
            .collect();
        let expected = shown(case);
        assert_eq!(found[..expected.len()], expected);
        compared += expected.len();
    }
    assert!(compared >= 50, "only {compared} frames were compared");
}

#[test]
fn a_first_frame_where_the_demo_crashes_shows_its_class() {
    let mut logits = [0.0; CLASSES];
    logits[20] = 9.0;
    assert_eq!(decider(None).decide(&logits).class, 20);
}

#[test]
fn other_class_counts_are_refused() {
    assert!(DecisionRule::mit(400).is_err());
}

fn class_of(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

#[expect(clippy::cast_possible_truncation, reason = "the reference computes in f32")]
fn as_f32(value: &Value) -> f32 {
    value.as_f64().unwrap() as f32
}
