//! The model card: what a model was made of, how good it is and what it cannot do, as Markdown.
//!
//! After 'Model Cards for Model Reporting' (Mitchell et al. 2019). It states what it is given; parts that are empty
//! are left out.

use std::fmt::Write as _;

use crate::metrics::{Calibration, ClassMetrics, FitEnd, TemperatureFit};

/// What the clips are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFacts {
    /// The data's name, with its version or address.
    pub source: String,
    /// Under which terms, and whom to credit.
    pub licence: String,
    /// How many classes.
    pub classes: usize,
    /// How many groups (source videos).
    pub groups: usize,
    /// Clips trained on.
    pub train_clips: usize,
    /// Clips the figures are from.
    pub valid_clips: usize,
    /// How the two were kept apart.
    pub split: String,
}

/// One line of the table of results; shares are fractions in 0..=1.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// What was measured, such as 'streamed frame by frame'.
    pub name: String,
    /// On how many clips.
    pub clips: usize,
    /// The share of clips right.
    pub top1: Option<f64>,
    /// An interval that holds `top1` with 95 %, where one was computed.
    pub top1_interval: Option<(f64, f64)>,
    /// The share of clips with the true class among the first five.
    pub top5: Option<f64>,
    /// The mean over classes of the share right.
    pub mean_class_accuracy: Option<f64>,
}

/// Everything the card says.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelCard {
    /// The model's name.
    pub name: String,
    /// What it is and what for, in a few sentences.
    pub summary: String,
    /// The clips.
    pub data: DataFacts,
    /// How it was trained, by name and value: backbone, shift, start weights, schedule, seed.
    pub recipe: Vec<(String, String)>,
    /// How good it is, the most important first.
    pub results: Vec<ResultRow>,
    /// The temperature fitted on clips not trained on.
    pub calibration: Option<TemperatureFit>,
    /// A row a class.
    pub classes: Vec<ClassMetrics>,
    /// What it cannot do.
    pub limits: Vec<String>,
    /// Whom and what it is built on, with their licences.
    pub credits: Vec<String>,
    /// Commands that make the model and the figures.
    pub commands: Vec<String>,
}

impl ModelCard {
    /// The card's text, ending in a newline.
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n{}\n", line(&self.name), self.summary.trim());
        section(&mut text, "Data", &self.data.table());
        section(&mut text, "Recipe", &pairs(&self.recipe));
        section(&mut text, "Results", &results(&self.results));
        section(&mut text, "Confidence", &self.calibration.as_ref().map(confidence).unwrap_or_default());
        section(&mut text, "Classes", &classes(&self.classes));
        section(&mut text, "What it cannot do", &list(&self.limits));
        section(&mut text, "Credits", &list(&self.credits));
        section(&mut text, "Made with", &code(&self.commands));
        text
    }
}

impl DataFacts {
    fn table(&self) -> String {
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        pairs(&[
            row("source", &self.source),
            row("licence", &self.licence),
            row("classes", &self.classes.to_string()),
            row("groups (source videos)", &self.groups.to_string()),
            row("clips trained on", &self.train_clips.to_string()),
            row("clips judged on", &self.valid_clips.to_string()),
            row("kept apart by", &self.split),
        ])
    }
}

fn section(text: &mut String, heading: &str, body: &str) {
    if !body.is_empty() {
        put(text, format_args!("\n## {heading}\n\n{}\n", body.trim_end()));
    }
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a string does not fail");
}

fn pairs(rows: &[(String, String)]) -> String {
    let rows: Vec<[String; 2]> = rows.iter().map(|(name, value)| [cell(name), cell(value)]).collect();
    table(["", ""], &rows, 2)
}

fn results(rows: &[ResultRow]) -> String {
    let row = |row: &ResultRow| {
        let interval = row.top1_interval.map(|(low, high)| {
            let (low, high) = (low * 100.0, high * 100.0);
            format!(" ({low:.1} to {high:.1})")
        });
        [
            cell(&row.name),
            row.clips.to_string(),
            percent(row.top1) + &interval.unwrap_or_default(),
            percent(row.top5),
            percent(row.mean_class_accuracy),
        ]
    };
    let rows: Vec<_> = rows.iter().map(row).collect();
    table(["", "clips", "top-1, % (95 % interval)", "top-5, %", "mean class, %"], &rows, 1)
}

fn confidence(fit: &TemperatureFit) -> String {
    let row = |name: &str, at: &Calibration| {
        [
            name.to_owned(),
            format!("{:.3}", at.temperature),
            format!("{:.3}", at.negative_log_likelihood),
            percent(Some(at.expected_calibration_error)),
            percent(Some(at.mean_confidence)),
        ]
    };
    let rows = [row("as trained", &fit.before), row("fitted", &fit.after)];
    let headings =
        ["", "temperature", "negative log likelihood, nats", "calibration error, %", "mean confidence, %"];
    let mut text = match fit.end {
        FitEnd::Minimum => {
            format!(
                "Logits are divided by {:.3} before softmax; which class wins does not change.\n\n",
                fit.temperature
            )
        }
        FitEnd::Limit => "These clips determine no temperature; keep 1.\n\n".to_owned(),
    };
    text += &table(headings, &rows, 1);
    text
}

fn classes(classes: &[ClassMetrics]) -> String {
    let row = |class: &ClassMetrics| {
        [
            cell(&class.name),
            class.clips.to_string(),
            percent(class.top1),
            percent(class.top5),
            percent(class.precision),
        ]
    };
    let rows: Vec<_> = classes.iter().map(row).collect();
    table(["class", "clips", "right (top-1), %", "in the first five, %", "precision, %"], &rows, 1)
}

/// A table whose first `names` columns hold words and the others numbers; nothing where there is no row.
fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]], names: usize) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        return text;
    }
    let rules: Vec<&str> = (0..N).map(|column| if column < names { "---" } else { "---:" }).collect();
    put(&mut text, format_args!("| {} |\n| {} |\n", headings.join(" | "), rules.join(" | ")));
    for row in rows {
        put(&mut text, format_args!("| {} |\n", row.join(" | ")));
    }
    text
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| format!("- {}", line(item))).collect();
    items.join("\n")
}

fn code(commands: &[String]) -> String {
    if commands.is_empty() { String::new() } else { format!("```sh\n{}\n```", commands.join("\n")) }
}

fn percent(share: Option<f64>) -> String {
    share.map_or("–".to_owned(), |share| format!("{:.1}", share * 100.0))
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    line(text).replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Metrics, Predictions, ScoreKind};

    fn card() -> ModelCard {
        let mut clips = Predictions::new(ScoreKind::Logits, vec!["sit".into(), "a|b".into()]).unwrap();
        for (scores, truth) in [([2.0, 0.0], 0), ([1.0, 0.0], 1), ([0.0, 3.0], 1)] {
            clips.push(&scores, truth).unwrap();
        }
        let metrics = Metrics::of(&clips);
        ModelCard {
            name: "causal\nmodel".into(),
            summary: "Says what people do.".into(),
            data: DataFacts {
                source: "clips".into(),
                licence: "CC BY 4.0".into(),
                classes: 2,
                groups: 3,
                train_clips: 10,
                valid_clips: 3,
                split: "source video".into(),
            },
            recipe: vec![("backbone".into(), "MobileNetV2".into())],
            results: vec![ResultRow {
                name: "streamed".into(),
                clips: 3,
                top1: metrics.top1,
                top1_interval: Some((0.5, 0.75)),
                top5: metrics.top5,
                mean_class_accuracy: None,
            }],
            calibration: clips.fit_temperature(),
            classes: metrics.classes,
            limits: vec!["It knows two classes only.".into()],
            credits: Vec::new(),
            commands: vec!["tsm train clips -o model.safetensors".into()],
        }
    }

    #[test]
    fn the_card_says_what_it_was_given() {
        let text = card().markdown();
        for expected in [
            "# causal model\n\nSays what people do.\n",
            "| groups (source videos) | 3 |",
            "| backbone | MobileNetV2 |",
            "| streamed | 3 | 66.7 (50.0 to 75.0) | 100.0 | – |",
            "| a\\|b | 2 | 50.0 | 100.0 | 100.0 |",
            "- It knows two classes only.",
            "```sh\ntsm train clips -o model.safetensors\n```\n",
            "before softmax",
        ] {
            assert!(text.contains(expected), "{expected} is missing in\n{text}");
        }
        assert!(!text.contains("## Credits"), "an empty part is left out");
    }

    #[test]
    fn every_row_of_a_table_has_as_many_cells_as_its_heading() {
        let text = card().markdown();
        let bars = |line: &str| line.replace("\\|", "").matches('|').count();
        let lines: Vec<&str> = text.lines().collect();
        let tables = lines.split(|line| !line.starts_with('|')).filter(|table| !table.is_empty());
        for table in tables {
            assert!(table.iter().all(|line| bars(line) == bars(table[0])), "{table:?}");
        }
    }
}
