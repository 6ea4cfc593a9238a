//! The project's own rules about itself, as tests.

mod arrows;
mod licences;
mod links;
mod source;
mod workspace;
