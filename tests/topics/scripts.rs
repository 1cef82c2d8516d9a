//! The Python scripts beside the program say in one line what they need.

use std::process::Command;

use tsm_tests::shared;

/// Those that a person or a `run` beside them starts; the others are parts of them.
const SCRIPTS: [&str; 7] = [
    "scripts/bench_training.py",
    "scripts/record.py",
    "scripts/training_goldens.py",
    "crates/tsm-cli/benches/whole_way/export_onnx.py",
    "crates/tsm-cli/benches/whole_way/python_loop.py",
    "crates/tsm-model/benches/gpu/compare.py",
    "crates/tsm-model/benches/peers/compare.py",
];

#[test]
fn a_script_without_what_it_needs_says_so_in_one_line() {
    for script in SCRIPTS {
        // -S leaves out every installed package, whatever this machine has; -B writes nothing beside the sources.
        let mut command = Command::new("python3");
        command.args(["-S", "-B", script]).current_dir(shared::workspace()).env_remove("PYTHONPATH");
        let Ok(output) = command.output() else {
            shared::skipped("python3 is missing");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{script}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with(&format!("{script}: ")), "{said}");
    }
}
