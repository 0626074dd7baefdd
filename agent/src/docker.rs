//! Docker: the only door to bollard.
//!
//! No caller outside this folder sees a type of bollard, and none can ask for a privileged container, a capability,
//! the host's network or a device: the bodies of containers are built here from typed values.

mod body;
mod carrier;
mod container;
mod engine;
mod error;
mod image;
pub mod labels;
mod members;
mod names;
mod network;
mod once;
mod policy;
mod pools;
mod runtime;
mod survey;
mod task;
mod tasks;
mod volume;

pub use body::{Bind, Tmpfs};
pub use engine::{Engine, Facts, Version};
pub use error::EngineError;
pub use image::Image;
pub use names::ContainerNames;
pub use network::Network;
pub use once::{Finished, Once};
pub use pools::Options;
pub use runtime::DockerRuntime;
pub use survey::{Reach, Setup, Survey};
pub use tasks::DockerTasks;
