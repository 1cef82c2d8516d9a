//! Whole files: real ones of the references, made ones in every naming, broken and hostile ones.

mod foreign;
mod golden;
mod hostile;
mod made;
mod own;
