//! Arguments that several commands share.

mod api;
pub(super) mod location;
pub(super) mod settings;
mod window;

pub(crate) use self::api::{Site, set};
pub(crate) use self::location::Reach;
pub(crate) use self::settings::{Settings, choice};
pub(crate) use self::window::Span;
