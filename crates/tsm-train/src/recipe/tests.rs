//! What a recipe takes, refuses and derives.

use super::*;

fn error(text: &str) -> String {
    Recipe::from_table(&Preset::Mit.recipe(), &text.parse().unwrap()).unwrap_err().to_string()
}

#[test]
fn a_printed_recipe_reads_back_as_itself() {
    for preset in Preset::ALL {
        let recipe = preset.recipe();
        recipe.check().unwrap();
        let table = recipe.to_toml().parse().unwrap();
        assert_eq!(Recipe::from_table(&Preset::Mit.recipe(), &table).unwrap(), recipe);
    }
}

#[test]
fn a_table_goes_before_the_preset() {
    let table = "lr = 0.5\nbackbone = \"resnet18\"".parse().unwrap();
    let recipe = Recipe::from_table(&Preset::Mit.recipe(), &table).unwrap();
    assert_eq!((recipe.lr, recipe.backbone), (0.5, Backbone::Resnet18));
    assert_eq!(recipe.epochs, Preset::Mit.recipe().epochs);
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    assert_eq!(error("dropout = 1.0"), "dropout is 1, it must be at least 0 and below 1");
    assert_eq!(error("lr = nan"), "lr is NaN, it must be above 0 and below a million");
    assert_eq!(error("size = 100"), "size is 100, it must be a multiple of 32 up to 1024");
    assert!(error("learning-rate = 1.0").contains("unknown field `learning-rate`"));
    assert!(error("epochs = \"many\"").contains("invalid type"));
    assert!(error("from-scratch = true\npretrained = \"x\"").contains("exclude each other"));
}

#[test]
fn the_range_of_a_number_is_known_by_its_name() {
    assert_eq!(allowed_number("lr"), Some("above 0 and below a million"));
    assert_eq!(allowed_number("batch"), Some("1 to 100000"));
    assert_eq!(allowed_number("shift-div"), Some("at least 1, 2 for a two-way shift"));
    for name in ["cache-mib", "seed", "shift", "no-such-option"] {
        assert_eq!(allowed_number(name), None, "{name}");
    }
}

#[test]
fn motion_is_weighed_where_frames_follow_each_other_and_time_is_looked_at() {
    let read = |text: &str| {
        let recipe = Recipe::from_table(&Preset::Few.recipe(), &text.parse().unwrap());
        recipe.map(|recipe| recipe.motion_features).map_err(|error| error.to_string())
    };
    assert_eq!(read(""), Ok(MotionFeatures::Flow));
    for blind in ["shift = \"none\"", "sampling = \"uniform\"", "segments = 1"] {
        assert_eq!(read(blind), Ok(MotionFeatures::None), "{blind}");
    }
    let flow = |text: &str| read(&format!("motion-features = \"flow\"\n{text}"));
    assert_eq!(flow("shift = \"none\""), Ok(MotionFeatures::Flow));
    let refused = flow("sampling = \"uniform\"").unwrap_err();
    assert_eq!(refused, "sampling is uniform, it must be fixed_interval with motion-features flow");
    let refused = flow("segments = 1").unwrap_err();
    assert_eq!(refused, "segments is 1, it must be at least 2 with motion-features flow");
}

#[test]
fn a_short_run_has_epochs_with_the_whole_shift_unless_it_is_told_otherwise() {
    let ramp = |text: &str| {
        Recipe::from_table(&Preset::Few.recipe(), &text.parse().unwrap()).unwrap().shift_ramp_epochs
    };
    let is = |text: &str, expected: f64| {
        assert!((ramp(text) - expected).abs() < 1e-9, "{text}: {}", ramp(text));
    };
    is("", 3.0);
    is("epochs = 4", 3.0);
    is("epochs = 3", 1.5);
    is("epochs = 3\nhead-epochs = 2", 0.5);
    is("epochs = 0", 0.0);
    is("epochs = 3\nshift-ramp-epochs = 3.0", 3.0);
}

#[test]
fn circuits_that_see_motion_need_a_place_and_a_past() {
    let said = |text: &str| {
        let table = format!("motion-start = true\n{text}").parse().unwrap();
        Recipe::from_table(&Preset::Few.recipe(), &table).map_err(|error| error.to_string())
    };
    assert!(said("").is_ok_and(|recipe| recipe.shift_ramp_epochs <= 0.0));
    assert!(said("shift = \"none\"").is_ok() && said("width = 0.25").is_ok());
    for (text, name) in [
        ("from-scratch = true", "from-scratch"),
        ("tune-from = \"x\"", "tune-from"),
        ("backbone = \"resnet50\"", "backbone is resnet50"),
        ("batch-norm = \"train\"", "batch-norm is train"),
        ("shift-div = 2", "shift-div is 2"),
        ("shift-div = 16", "shift-div is 16"),
        ("segments = 1", "segments is 1"),
        ("unshifted-blocks = 3", "unshifted-blocks is 3"),
        ("place = \"block\"", "place is block"),
        ("shift-ramp-epochs = 3.0", "shift-ramp-epochs is 3"),
    ] {
        let error = said(text).unwrap_err();
        assert!(error.contains(name) && error.contains("motion-start"), "{text}: {error}");
    }
}
