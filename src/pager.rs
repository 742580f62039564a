//! pager
#[cfg(test)]
mod model;
mod reading;
mod seam;
mod walk;
