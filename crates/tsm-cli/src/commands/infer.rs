//! `tsm infer`: labels for video files, in the order given.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tsm_model::Model;
use tsm_train::clip_store::ClipStore;
use tsm_train::dataset::{Dataset, list_file};
use tsm_train::infer::{Answer, Ranked, infer};
use tsm_train::loader::LoaderSource;

use super::views;
use crate::args::offline::{InferArgs, InferFormatArg};
use crate::exit_code::{Exit, Failure};
use crate::{model_source, signals, talk};

/// One file as a JSON object.
#[derive(Debug, Serialize)]
struct Line<'a> {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<&'a [Ranked]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// What `answer` says of the file `name`.
    fn of(name: String, answer: &'a Answer) -> Self {
        let ranking = answer.ranking.as_deref().ok();
        let first = ranking.and_then(<[Ranked]>::first);
        Self {
            file: name,
            label: first.map(|rank| rank.label.as_str()),
            class: first.map(|rank| rank.class),
            confidence: first.map(|rank| rank.probability),
            top_k: ranking,
            error: answer.ranking.as_deref().err().map(String::as_str),
        }
    }
}

/// Labels every file that can be read and reports the others.
///
/// # Errors
/// A list or model that cannot be used.
pub(crate) fn run(args: &InferArgs) -> Result<Exit, Failure> {
    signals::survive_file_limit()?;
    tsm_ingest::init()?;
    let files = match &args.filelist {
        Some(list) => list_file::read_paths(list)?,
        None => args.files.clone(),
    };
    let checkpoint = model_source::open(&args.model)?;
    let dataset = Dataset::unlabelled(files.clone(), checkpoint.spec.classes.clone());
    let source = LoaderSource {
        clips: (0..files.len()).collect(),
        dataset: Arc::new(dataset),
        store: Arc::new(ClipStore::new(0)),
        input: checkpoint.spec.input.clone(),
    };
    let mut model = Model::load(&checkpoint, args.device.open()?)?;
    drop(checkpoint);
    let should_stop = signals::stop_asked()?;
    let view = views::view(&args.views, model.spec());
    if args.format == InferFormatArg::Csv {
        talk::result("file,rank,class,label,probability")?;
    }
    let (mut failed, mut answered) = (0, 0);
    let mut broken = None;
    infer(&mut model, &source, view, args.top_k.get(), &mut |answer| {
        failed += usize::from(answer.ranking.is_err());
        let file = &files[answer.clip];
        match checked(file, &answer).and_then(|()| write(args.format, file, &answer)) {
            Ok(()) => {
                answered += 1;
                !should_stop()
            }
            Err(failure) => {
                broken = Some(failure);
                false
            }
        }
    })?;
    if let Some(failure) = broken {
        return Err(failure);
    }
    if answered < files.len() {
        talk::line(&format!("tsm: stopped after {answered} of {} files", files.len()));
    }
    Ok(if failed > 0 { Exit::BadInput } else { Exit::Done })
}

/// Refuses a ranking whose probabilities are none, as those of the other files would be.
fn checked(file: &Path, answer: &Answer) -> Result<(), Failure> {
    let mut ranks = answer.ranking.iter().flatten();
    if ranks.all(|rank| rank.probability.is_finite()) {
        return Ok(());
    }
    Err(Failure::bad_input(format!(
        "{}: the model's outputs are no numbers (infinite or NaN): its weights overflow; give another --model",
        file.display()
    )))
}

fn write(format: InferFormatArg, file: &Path, answer: &Answer) -> Result<(), Failure> {
    let name = file.display().to_string();
    let ranking = match &answer.ranking {
        Ok(ranking) => ranking,
        Err(reason) => {
            talk::line(&format!("tsm: {}", talk::escaped(reason)));
            if format == InferFormatArg::Jsonl {
                talk::result(&serde_json::to_string(&Line::of(name, answer))?)?;
            }
            return Ok(());
        }
    };
    if ranking.is_empty() {
        return Ok(());
    }
    match format {
        InferFormatArg::Jsonl => talk::result(&serde_json::to_string(&Line::of(name, answer))?),
        InferFormatArg::Text => {
            let ranks: Vec<String> = ranking
                .iter()
                .map(|rank| format!("{} {:.3}", talk::escaped(&rank.label), rank.probability))
                .collect();
            talk::result(&format!("{}: {}", talk::escaped(&name), ranks.join(", ")))
        }
        InferFormatArg::Csv => {
            for (index, rank) in ranking.iter().enumerate() {
                let (class, label) = (rank.class, quoted(&rank.label));
                let row = format!("{},{},{class},{label},{}", quoted(&name), index + 1, rank.probability);
                talk::result(&row)?;
            }
            Ok(())
        }
    }
}

/// A CSV field (RFC 4180).
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
