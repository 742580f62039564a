//! Settings of a run, and the inputs that a user names: locations, meeting lists, tenants.

pub(crate) mod file;
pub(crate) mod location;
pub(crate) mod meeting_list;
pub(crate) mod proxy_rule;
mod settings;
mod tenants;
mod validate;

pub use self::settings::Config;
pub use self::tenants::Tenant;
