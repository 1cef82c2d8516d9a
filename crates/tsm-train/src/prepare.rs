//! Makes training data of clips.
