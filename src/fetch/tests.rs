//! The drift laboratory: one meeting after another is read from a simulated server whose answers
//! do not fit together, and what comes out is compared with the truth.
//!
//! 1. [`models`] draws a server from a seed: its list, its replicas, its cache, its changes.
//! 2. [`server`] answers requests in virtual time, and knows which records it had, and when.
//! 3. [`meeting`] drives a `Reading` against it: no runtime, no clock, answers in random order.
//! 4. [`table`] counts what came out: right, silently wrong, or absent, and the requests.
//! 5. [`laws`] states what must hold.
//!
//! `ROLLBOOK_LABORATORY_MEETINGS` sets the number of meetings of each model, and
//! `ROLLBOOK_LABORATORY_SEED` the seed. `--nocapture` shows the tables.

mod meeting;
#[cfg(test)]
mod model;
mod models;
mod pages;
mod properties;
mod server;
mod table;
