//! `--show`: a window a stream, with the picture, the label and a bar.

use tsm_ingest::{Frame, Preview, PreviewError, Source};
use tsm_live::decision::Decision;
use tsm_live::{Viewer, Window};
use tsm_model::Model;

/// Open windows, one a stream.
#[derive(Debug)]
pub(crate) struct Windows {
    previews: Vec<Preview>,
    labels: Vec<String>,
}

impl Windows {
    /// Opens a window for each source.
    ///
    /// # Errors
    /// Where there is no display, or an element is missing.
    pub(crate) fn open(sources: &[Source], model: &Model) -> Result<Self, PreviewError> {
        let open = |source: &Source| Preview::open(&source.to_string());
        let previews = sources.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { previews, labels: model.spec().classes.clone() })
    }
}

impl Viewer for Windows {
    fn show(&mut self, stream: usize, frame: &Frame, decision: &Decision) -> Window {
        let Some(preview) = self.previews.get_mut(stream) else { return Window::Open };
        let label = self.labels.get(decision.class).map_or("?", String::as_str);
        let percent = decision.confidence * 100.0;
        preview.label(&format!("{label}  {percent:.0} %"), decision.confidence);
        preview.show(frame);
        if preview.is_closed() { Window::Closed } else { Window::Open }
    }
}
