//! stub
use crate::config::Config;
pub trait Machine: Send + Sync {}
pub enum Health {
    Good,
    Warning,
    Bad,
}
pub struct Finding {
    pub subject: String,
    pub health: Health,
    pub message: String,
    pub remedy: String,
}
pub async fn examine(_: &Config, _: &dyn Machine) -> Vec<Finding> {
    Vec::new()
}
